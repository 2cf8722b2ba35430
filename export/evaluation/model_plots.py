"""Plots of models' figures. Knows metrics.json's structure; what is said beside the plots is elsewhere."""

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes

from export.evaluation.pictures import (
    BLUE,
    BLUES,
    CYCLE,
    DARK,
    GREY,
    Picture,
    bars,
    dots,
    drawing,
    heatmap,
    picture,
    titled,
)
from export.evaluation.words import METRICS, model_name, number, signed

Figures = dict[str, Any]


def colour_of(figures: Figures, kind: str) -> str:
    """Blue: with transfer weights; dark: the best baseline; grey: other baselines."""
    if figures["models"][kind]["transfers"]:
        return BLUE
    return DARK if kind == figures["baseline"] else GREY


def _span(estimate: dict[str, Any]) -> tuple[float, float] | None:
    return None if estimate["low"] is None else (estimate["low"], estimate["high"])


def metric_bars(figures: Figures, metric: str) -> Picture:
    """A metric over all test rows: a bar per model with its interval, the best on top."""
    found = {kind: model["test"]["all"][metric] for kind, model in figures["models"].items()}
    known = sorted((k for k in found if found[k]["value"] is not None), key=lambda k: -found[k]["value"])
    figure, axes = drawing(0.9 + 0.34 * len(known))
    values = [found[kind]["value"] for kind in known]
    start = 0.5 if metric in {"auc", "gauc"} and min(values, default=1.0) > 0.5 else 0.0
    colours = [colour_of(figures, kind) for kind in known]
    if known:
        bars(axes, [model_name(k) for k in known], values, [_span(found[k]) for k in known], colours, start)
    name = METRICS[metric][0]
    titled(axes, f"{name}, all test rows")
    if start:
        axes.set_xlabel("bars start at 0.5, a coin toss")
    told = ", ".join(f"{model_name(kind)} {number(found[kind]['value'])}" for kind in known)
    return picture(figure, f"{name} of each model, best first: {told}.")


def difference_dots(figures: Figures, reference: str, metric: str) -> Picture:
    """Each model minus the reference with its interval, in thousandths."""
    found = {kind: subsets["all"][metric] for kind, subsets in figures["differences"][reference].items()}
    known = sorted((k for k in found if found[k]["value"] is not None), key=lambda k: -found[k]["value"])
    figure, axes = drawing(0.9 + 0.34 * len(known))
    values = [1000 * found[kind]["value"] for kind in known]
    spans = [None if found[k]["low"] is None else (1000 * found[k]["low"], 1000 * found[k]["high"]) for k in known]
    dots(axes, [model_name(kind) for kind in known], values, spans, [colour_of(figures, kind) for kind in known])
    axes.axvline(0, color=DARK, linewidth=1)
    _cut(axes, values, spans)
    name = METRICS[metric][0]
    titled(axes, f"{name} minus that of {model_name(reference)}")
    axes.set_xlabel("thousandths; right of the line is better")
    told = ", ".join(f"{model_name(kind)} {signed(found[kind]['value'])}" for kind in known)
    return picture(figure, f"Difference in {name} to {model_name(reference)}: {told}.")


def _cut(axes: Axes, values: Sequence[float], spans: Sequence[tuple[float, float] | None]) -> None:
    """End the axis behind the models that are near; those far off are written at the edge, so all can be read."""
    near = [place for place, value in enumerate(values) if abs(value) <= NEAR]
    if not near or len(near) == len(values):
        return
    edges = [0.0, *(edge for place in near for edge in (spans[place] or (values[place],)))]
    low, high = min(edges), max(edges)
    margin = 0.12 * (high - low) or 1.0
    axes.set_xlim(low - margin, high + margin)
    for place, value in enumerate(values):
        if place not in near:
            text, x, side = (f"◂ {value:+.0f}", 0.02, "left") if value < 0 else (f"{value:+.0f} ▸", 0.98, "right")
            axes.text(x, place, text, transform=axes.get_yaxis_transform(), va="center", ha=side, fontsize=9)


NEAR = 20.0
"""Thousandths: models this near to the reference are drawn on one scale."""


def scenario_dots(figures: Figures, metric: str) -> Picture:
    """A metric per target scenario: a line of dots per scenario, a colour per model."""
    kinds, scenarios = list(figures["models"]), figures["scenarios"]
    figure, axes = drawing(1.6 + 0.5 * len(scenarios) + 0.18 * len(kinds))
    step, palette = 0.7 / max(len(kinds), 1), _palette(figures)
    for number_of, kind in enumerate(kinds):
        found = [figures["models"][kind]["test"][scenario][metric] for scenario in scenarios]
        places = [place - 0.35 + step * (number_of + 0.5) for place in range(len(scenarios))]
        colour, marker = palette[kind], "D" if figures["models"][kind]["transfers"] else "o"
        for place, estimate in zip(places, found, strict=True):
            if span := _span(estimate):
                axes.plot(span, [place, place], color=colour, linewidth=1, alpha=0.6)
        known = [(e["value"], p) for e, p in zip(found, places, strict=True) if e["value"] is not None]
        axes.plot([v for v, _ in known], [p for _, p in known], marker, color=colour, ms=4.5, label=model_name(kind))
    axes.set_yticks(range(len(scenarios)), scenarios)
    axes.set_ylim(len(scenarios) - 0.5, -0.5)
    for edge in range(len(scenarios) - 1):
        axes.axhline(edge + 0.5, color="#e3e8ee", linewidth=1)
    axes.grid(axis="x")
    name = METRICS[metric][0]
    titled(axes, f"{name} by target scenario")
    spacing = {"handletextpad": 0.1, "columnspacing": 1.0}
    figure.legend(loc="outside lower center", ncols=3, fontsize=8.5, frameon=False, **spacing)
    return picture(figure, f"{name} of each model in each target scenario; the values are in the table of all figures.")


def _palette(figures: Figures) -> dict[str, str]:
    """A colour per model; blues are for those with transfer weights."""
    transfers = [kind for kind, model in figures["models"].items() if model["transfers"]]
    others = [kind for kind in figures["models"] if kind not in transfers]
    blues = {kind: BLUES[place % len(BLUES)] for place, kind in enumerate(transfers)}
    return blues | {kind: CYCLE[place % len(CYCLE)] for place, kind in enumerate(others)}


def reliability_plot(figures: Figures, kind: str) -> Picture:
    """Observed share of positives over the mean probability of each bin."""
    curve = figures["models"][kind]["reliability"]
    figure, axes = drawing(2.5, 2.35)
    top = 1.05 * max([point[key] for point in curve for key in ("probability", "positive")] or [1.0])
    axes.plot([0, top], [0, top], color=GREY, linewidth=1, linestyle="--")
    line = colour_of(figures, kind)
    points = [[point[key] for point in curve] for key in ("probability", "positive")]
    axes.plot(*points, "o-", color=line, markersize=4, linewidth=1.4)
    axes.set_xlim(0, top)
    axes.set_ylim(0, top)
    titled(axes, model_name(kind), 10)
    axes.set_xlabel("predicted", fontsize=9)
    axes.set_ylabel("observed", fontsize=9)
    axes.tick_params(labelsize=8)
    ece = figures["models"][kind]["test"]["all"]["ece"]["value"]
    axes.text(0.04, 0.9, f"ECE {number(ece)}", transform=axes.transAxes, fontsize=9)
    return picture(figure, f"Reliability of {model_name(kind)}: expected calibration error {number(ece)}.")


def transfer_heatmap(figures: Figures, kind: str) -> Picture:
    """M[i,j] of the target scenarios, with the deviation over seeds in the cells."""
    transfer, targets = figures["models"][kind]["transfer"], figures["scenarios"]
    sources: Sequence[str] = transfer["sources"]
    places = [sources.index(target) for target in targets]
    mean = [transfer["mean"][place] for place in places]
    spread = transfer["over_seeds"] and [transfer["over_seeds"][place] for place in places]
    texts = [
        [f"{value:.2f}" + (f"\n±{spread[i][j]:.2f}" if spread else "") for j, value in enumerate(line)]
        for i, line in enumerate(mean)
    ]
    figure, axes = drawing(1.1 + 0.5 * len(targets), max(WIDTH_NARROW, 1.2 + 0.62 * len(sources)))
    heatmap(axes, mean, texts, targets, sources, (0.0, 1.0))
    axes.set_xlabel("source scenario j")
    axes.set_ylabel("target scenario i")
    titled(axes, f"M[i,j] of {model_name(kind)}")
    return picture(figure, f"Transfer weights of {model_name(kind)} from each source to each target scenario.")


WIDTH_NARROW = 3.4
"""Inches: least width of a heat map, so that its title fits."""
