"""Plots of models' metrics, calibration and transfer weights. Knows the structure of metrics.json."""

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes

from export.evaluation.charts import (
    BLUES,
    CYCLE,
    Span,
    draw_bars,
    draw_dots,
    draw_heatmap,
    draw_title,
    finish_plot,
)
from export.evaluation.labels import METRICS, format_number, format_signed, model_name
from services.report.plots import BLUE, DARK, GREY, Plot, new_axes

Figures = dict[str, Any]


def model_colour(figures: Figures, kind: str) -> str:
    """Blue: a model with transfer weights; dark: the best baseline; grey: another baseline."""
    if figures["models"][kind]["transfers"]:
        return BLUE
    return DARK if kind == figures["baseline"] else GREY


def _interval(estimate: dict[str, Any]) -> Span | None:
    return None if estimate["low"] is None else (estimate["low"], estimate["high"])


def plot_metric(figures: Figures, metric: str) -> Plot:
    """A metric over all test rows: a bar per model with its interval, the best on top."""
    estimates = {kind: model["test"]["all"][metric] for kind, model in figures["models"].items()}
    kinds = _sort_by_value(estimates)
    figure, axes = new_axes(0.9 + 0.34 * len(kinds))
    values = [estimates[kind]["value"] for kind in kinds]
    start = 0.5 if metric in {"auc", "gauc"} and min(values, default=1.0) > 0.5 else 0.0
    colours = [model_colour(figures, kind) for kind in kinds]
    if kinds:
        spans = [_interval(estimates[kind]) for kind in kinds]
        draw_bars(axes, [model_name(kind) for kind in kinds], values, spans, colours, start)
    name = METRICS[metric][0]
    draw_title(axes, f"{name}, all test rows")
    if start:
        axes.set_xlabel("bars start at 0.5 (chance)")
    listing = ", ".join(f"{model_name(kind)} {format_number(estimates[kind]['value'])}" for kind in kinds)
    return finish_plot(figure, f"{name} of each model, highest first: {listing}.")


def _sort_by_value(estimates: dict[str, dict[str, Any]]) -> list[str]:
    """The kinds that have a value, the highest first."""
    known = [kind for kind, estimate in estimates.items() if estimate["value"] is not None]
    return sorted(known, key=lambda kind: -estimates[kind]["value"])


def plot_differences(figures: Figures, reference: str, metric: str) -> Plot:
    """Each model minus the reference with its interval, in thousandths."""
    estimates = {kind: subsets["all"][metric] for kind, subsets in figures["differences"][reference].items()}
    kinds = _sort_by_value(estimates)
    figure, axes = new_axes(0.9 + 0.34 * len(kinds))
    values = [1000 * estimates[kind]["value"] for kind in kinds]
    spans = [_thousandths(estimates[kind]) for kind in kinds]
    draw_dots(
        axes, [model_name(kind) for kind in kinds], values, spans, [model_colour(figures, kind) for kind in kinds]
    )
    axes.axvline(0, color=DARK, linewidth=1)
    _limit_axis(axes, values, spans)
    name = METRICS[metric][0]
    draw_title(axes, f"{name} minus that of {model_name(reference)}")
    axes.set_xlabel("thousandths; right of the line is better")
    listing = ", ".join(f"{model_name(kind)} {format_signed(estimates[kind]['value'])}" for kind in kinds)
    return finish_plot(figure, f"Difference in {name} to {model_name(reference)}: {listing}.")


def _thousandths(estimate: dict[str, Any]) -> Span | None:
    """The interval of a difference, times 1000."""
    return None if estimate["low"] is None else (1000 * estimate["low"], 1000 * estimate["high"])


def _limit_axis(axes: Axes, values: Sequence[float], spans: Sequence[Span | None]) -> None:
    """Limit the axis to the models near the reference; values far off are written at the edge."""
    near = [row for row, value in enumerate(values) if abs(value) <= NEAR]
    if not near or len(near) == len(values):
        return
    edges = [0.0, *(edge for row in near for edge in (spans[row] or (values[row],)))]
    low, high = min(edges), max(edges)
    margin = 0.12 * (high - low) or 1.0
    axes.set_xlim(low - margin, high + margin)
    for row, value in enumerate(values):
        if row not in near:
            text, x, side = (f"◂ {value:+.0f}", 0.02, "left") if value < 0 else (f"{value:+.0f} ▸", 0.98, "right")
            axes.text(x, row, text, transform=axes.get_yaxis_transform(), va="center", ha=side, fontsize=9)


NEAR = 20.0
"""Thousandths: models this near to the reference share one scale."""


def plot_scenarios(figures: Figures, metric: str) -> Plot:
    """A metric per target scenario: a line of dots per scenario, a colour per model."""
    kinds, scenarios = list(figures["models"]), figures["scenarios"]
    figure, axes = new_axes(1.6 + 0.5 * len(scenarios) + 0.18 * len(kinds))
    step, colours = 0.7 / max(len(kinds), 1), _model_colours(figures)
    for place, kind in enumerate(kinds):
        estimates = [figures["models"][kind]["test"][scenario][metric] for scenario in scenarios]
        rows = [row - 0.35 + step * (place + 0.5) for row in range(len(scenarios))]
        colour, marker = colours[kind], "D" if figures["models"][kind]["transfers"] else "o"
        for row, estimate in zip(rows, estimates, strict=True):
            if span := _interval(estimate):
                axes.plot(span, [row, row], color=colour, linewidth=1, alpha=0.6)
        known = [(e["value"], row) for e, row in zip(estimates, rows, strict=True) if e["value"] is not None]
        axes.plot([v for v, _ in known], [r for _, r in known], marker, color=colour, ms=4.5, label=model_name(kind))
    axes.set_yticks(range(len(scenarios)), scenarios)
    axes.set_ylim(len(scenarios) - 0.5, -0.5)
    for edge in range(len(scenarios) - 1):
        axes.axhline(edge + 0.5, color="#e3e8ee", linewidth=1)
    axes.grid(axis="x")
    name = METRICS[metric][0]
    draw_title(axes, f"{name} by target scenario")
    spacing = {"handletextpad": 0.1, "columnspacing": 1.0}
    figure.legend(loc="outside lower center", ncols=3, fontsize=8.5, frameon=False, **spacing)
    return finish_plot(figure, f"{name} of each model in each target scenario; the values are in the tables.")


def _model_colours(figures: Figures) -> dict[str, str]:
    """A colour per model; blues are for models with transfer weights."""
    transfers = [kind for kind, model in figures["models"].items() if model["transfers"]]
    others = [kind for kind in figures["models"] if kind not in transfers]
    blues = {kind: BLUES[place % len(BLUES)] for place, kind in enumerate(transfers)}
    return blues | {kind: CYCLE[place % len(CYCLE)] for place, kind in enumerate(others)}


def plot_reliability(figures: Figures, kind: str) -> Plot:
    """Calibration curve: observed share of positives over the mean probability of each bin."""
    curve = figures["models"][kind]["reliability"]
    figure, axes = new_axes(2.5, 2.35)
    top = 1.05 * max([point[key] for point in curve for key in ("probability", "positive")] or [1.0])
    axes.plot([0, top], [0, top], color=GREY, linewidth=1, linestyle="--")
    line = model_colour(figures, kind)
    points = [[point[key] for point in curve] for key in ("probability", "positive")]
    axes.plot(*points, "o-", color=line, markersize=4, linewidth=1.4)
    axes.set_xlim(0, top)
    axes.set_ylim(0, top)
    draw_title(axes, model_name(kind), 10)
    axes.set_xlabel("predicted", fontsize=9)
    axes.set_ylabel("observed", fontsize=9)
    axes.tick_params(labelsize=8)
    ece = figures["models"][kind]["test"]["all"]["ece"]["value"]
    axes.text(0.04, 0.9, f"ECE {format_number(ece)}", transform=axes.transAxes, fontsize=9)
    return finish_plot(figure, f"Reliability of {model_name(kind)}: expected calibration error {format_number(ece)}.")


def plot_transfer(figures: Figures, kind: str) -> Plot:
    """Heat map of the shares M[i,j] / sum_j M[i,j] of the targets, with the deviation over seeds in points."""
    transfer, targets = figures["models"][kind]["transfer"], figures["scenarios"]
    sources: Sequence[str] = transfer["sources"]
    places = [sources.index(target) for target in targets]
    shares = [transfer["share"][place] for place in places]
    spread = transfer["share_over_seeds"] and [transfer["share_over_seeds"][place] for place in places]
    texts = [
        [f"{value:.1%}" + (f"\n±{100 * spread[i][j]:.1f}" if spread else "") for j, value in enumerate(line)]
        for i, line in enumerate(shares)
    ]
    figure, axes = new_axes(1.1 + 0.5 * len(targets), max(WIDTH_NARROW, 1.2 + 0.62 * len(sources)))
    draw_heatmap(axes, shares, texts, targets, sources, (0.0, max(max(line) for line in shares) or 1.0))
    axes.set_xlabel("source scenario j")
    axes.set_ylabel("target scenario i")
    draw_title(axes, f"Shares in M of {model_name(kind)}")
    return finish_plot(figure, f"Share of each source in the weights of {model_name(kind)}, by target scenario.")


WIDTH_NARROW = 3.4
"""Least width of a heat map, inches, so that its title fits."""
