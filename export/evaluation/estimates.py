"""Looks up estimates in the structure of metrics.json, and shows them as cells of a report's tables."""

from typing import Any

from export.evaluation.labels import METRICS, format_number
from services.report.page import ReportCell

Figures = dict[str, Any]


def best_kind(figures: Figures, metric: str, subset: str = "all") -> str | None:
    """The kind with the best value of a metric on a subset; None if no model has one."""
    estimates = {kind: subset_estimates(model, subset).get(metric) for kind, model in figures["models"].items()}
    values = {kind: e["value"] for kind, e in estimates.items() if e and e["value"] is not None}
    choose = min if METRICS[metric][2] == "lower" else max
    return choose(values, key=lambda kind: values[kind]) if values else None


def subset_estimates(model: dict[str, Any], subset: str) -> dict[str, Any]:
    """A model's estimates on a subset; empty if the subset has no rows."""
    test = model["test"]
    estimates: dict[str, Any] = test["segments"].get(subset) or test.get(subset) or {}
    return estimates


def estimate_cell(estimate: dict[str, Any], *, best: bool = False) -> ReportCell:
    """A value with its interval."""
    known = estimate["low"] is not None
    interval = f"{format_number(estimate['low'])} to {format_number(estimate['high'])}" if known else ""
    return ReportCell(format_number(estimate["value"]), interval, best)
