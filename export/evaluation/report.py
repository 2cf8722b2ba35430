"""The evaluation report: one self-contained HTML file of metrics.json and the experiments' results. Reads no files."""

from typing import Any

from export.evaluation.experiment_sections import experiment_sections
from export.evaluation.model_sections import method_section, model_sections
from export.evaluation.training_sections import limits_section, training_section
from services.report.page import ReportPage, render_page


def render_report(figures: dict[str, Any], experiments: dict[str, dict[str, Any]]) -> str:
    """The page; an experiment that was not run has a section that names its command."""
    name = figures["data"]["name"]
    page = ReportPage(
        title=f"CrossRec on {name}: model quality and transfer",
        subtitle=f"Evaluated {figures['created_at'][:10]}; metrics.json holds the same figures.",
        sections=[
            *model_sections(figures),
            training_section(figures),
            limits_section(figures),
            *experiment_sections(experiments, name),
            method_section(figures),
        ],
        contents=True,
    )
    return render_page(page)
