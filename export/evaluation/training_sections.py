"""The report's sections on training: learning curves, chosen settings with reasons, and what limits the models.

Knows the structure of metrics.json.
"""

from typing import Any

from export.evaluation.charts import draw_title, finish_plot
from export.evaluation.labels import format_number, model_name
from services.report.page import ReportTable, Section, text_row
from services.report.plots import BLUE, GREY, Plot, new_axes

Figures = dict[str, Any]
LEVELS = ("error", "warning")
"""Levels of the data check's findings that limit a model."""


def training_section(figures: Figures) -> Section:
    """Learning curves of every kind, and the settings chosen for it."""
    trained = {kind: model["training"] for kind, model in figures["models"].items() if model["training"]}
    intro = (
        "Log loss on the training rows (grey, as they were trained on) and on the validation rows (blue), a line per "
        "seed; the dot is the state that was kept, the best AUC on the validation rows. A validation loss that rises "
        "while the training loss falls shows overfitting; one that still falls at the end, too few steps."
    )
    rows = [
        text_row(model_name(kind), choice["name"], choice["value"], choice["reason"])
        for kind, training in trained.items()
        for choice in training["choices"]
    ]
    columns = ["Model", "Setting", "Value", "Reason"]
    return Section(
        "training",
        "Training",
        [intro],
        notices=[] if trained else ["These runs are of an earlier version: train again to see their curves."],
        plots=[plot_learning_curve(kind, training["curve"]) for kind, training in trained.items() if training["curve"]],
        tables=[ReportTable("Settings of training", columns, rows, folded=True, prose=True)] if rows else [],
    )


def plot_learning_curve(kind: str, curve: list[dict[str, Any]]) -> Plot:
    """Steps against train and validation loss, a line per seed."""
    figure, axes = new_axes(2.5, 3.1)
    for seed in sorted({point["seed"] for point in curve}):
        points = [point for point in curve if point["seed"] == seed]
        for name, colour in (("train_loss", GREY), ("validation_loss", BLUE)):
            known = [point for point in points if point[name] is not None]
            axes.plot([p["steps"] for p in known], [p[name] for p in known], color=colour, linewidth=1.3, alpha=0.8)
            kept = [point for point in known if point["kept"]]
            axes.plot([p["steps"] for p in kept], [p[name] for p in kept], "o", color=colour, markersize=4.5)
    axes.set_xlim(left=0)
    axes.set_xlabel("trees" if kind == "lightgbm" else "steps", fontsize=9)
    axes.tick_params(labelsize=8)
    draw_title(axes, model_name(kind), 10)
    last = [point["validation_loss"] for point in curve if point["kept"] and point["validation_loss"] is not None]
    mean = format_number(sum(last) / len(last)) if last else "-"
    return finish_plot(figure, f"Learning curve of {model_name(kind)}: validation log loss {mean} where it was kept.")


def limits_section(figures: Figures) -> Section:
    """What limits these models: facts of the rows and figures, and the findings of the data check."""
    intro = (
        "What kept these models from being better, as far as rows and figures show it; errors and warnings of "
        "crossrec data check included."
    )
    checks = figures["checks"]
    rows = [text_row(limit["name"], limit["found"], limit["meaning"]) for limit in figures["limits"]]
    rows += [
        text_row(check["name"], check["found"], check["text"]) for check in checks or [] if check["level"] in LEVELS
    ]
    notices = [] if checks is not None else ["The data set is not beside its rows: the data check was not run."]
    if not rows:
        notices.append("Nothing was found: neither few rows nor short histories, no missing texts, no sign of a leak.")
    table = ReportTable("What was found", ["Limit", "Found", "Meaning"], rows, prose=True)
    return Section("limits", "What limits this model", [intro], notices=notices, tables=[table] if rows else [])
