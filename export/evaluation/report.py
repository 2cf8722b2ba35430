"""The report: one HTML file with everything in it, from the figures and the experiments' files. Reads no files."""

from typing import Any

from jinja2 import Environment, StrictUndefined

from export.evaluation.experiment_sections import experiment_sections
from export.evaluation.model_sections import method, model_sections
from export.evaluation.template import PAGE


def render(figures: dict[str, Any], experiments: dict[str, dict[str, Any]]) -> str:
    """The page; experiments that were not run are named with the command that runs them."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    name = figures["data"]["name"]
    page: str = environment.from_string(PAGE).render(
        title=f"CrossRec on {name}: which models rank best, and what transfer brings",
        subtitle=f"Evaluated {figures['created_at'][:10]}; the same figures for machines are in metrics.json.",
        sections=[*model_sections(figures), *experiment_sections(experiments, name), method(figures)],
    )
    return page
