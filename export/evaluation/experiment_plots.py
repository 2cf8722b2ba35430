"""Plots of experiments: ablation, scarcity, source removal, augmentation, recognition.

Knows the files' structure; what is said beside the plots is elsewhere.
"""

import math
from collections.abc import Sequence
from statistics import stdev
from typing import Any

from matplotlib.axes import Axes

from export.evaluation.pictures import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    WIDTH_IN,
    Picture,
    bars,
    drawing,
    heatmap,
    picture,
    titled,
)
from export.evaluation.words import signed

Rows = Sequence[dict[str, Any]]

ARMS = {"joint": BLUE, "alone": ORANGE, "pooled": GREEN}


def _deviation(seeds: Sequence[float]) -> float:
    return stdev(seeds) if len(seeds) > 1 else 0.0


def _around(value: float, deviation: float) -> tuple[float, float] | None:
    return (value - deviation, value + deviation) if deviation else None


def change_bars(rows: Rows, name: str, field: str, title: str, *, gains: bool = False) -> Picture:
    """Changes in AUC, in thousandths: a bar per row, named by column `name`, with its deviation over seeds.

    The largest loss is on top, or with `gains` the largest gain.
    """
    ordered = sorted(rows, key=lambda row: row[field], reverse=gains)
    values = [1000 * row[field] for row in ordered]
    spans = [_around(value, 1000 * row.get(f"{field}_sd", 0.0)) for value, row in zip(values, ordered, strict=True)]
    figure, axes = drawing(1.0 + 0.32 * len(ordered))
    colours = [BLUE if value < 0 else GREY for value in values]
    if ordered:
        bars(axes, [str(row[name]) for row in ordered], values, spans, colours, form="+.1f")
    axes.axvline(0, color="black", linewidth=0.8)
    axes.set_xlabel("change in AUC, thousandths")
    titled(axes, title)
    told = ", ".join(f"{row[name]} {signed(row[field])}" for row in ordered)
    return picture(figure, f"{title}: {told}.")


def scarcity_plot(rows: Rows, target: str) -> Picture:
    """AUC on the target over the fraction of its training rows: a line per arm, bands of deviation over seeds."""
    figure, axes = drawing(3.1)
    fractions = sorted({row["fraction"] for row in rows if row["target"] == target})
    for arm, colour in ARMS.items():
        line = sorted(
            (row for row in rows if row["target"] == target and row["arm"] == arm), key=lambda row: row["fraction"]
        )
        places = [_place(row["fraction"], fractions) for row in line]
        values, spread = [row["auc"] for row in line], [_deviation(row["seeds"]) for row in line]
        axes.plot(places, values, "o-", color=colour, label=arm, linewidth=1.6, markersize=4)
        low, high = ([v + sign * s for v, s in zip(values, spread, strict=True)] for sign in (-1, 1))
        axes.fill_between(places, low, high, color=colour, alpha=0.18, linewidth=0)
    axes.set_xticks([_place(fraction, fractions) for fraction in fractions], [f"{100 * f:g}" for f in fractions])
    axes.set_xlabel("% of this scenario's training rows (logarithmic, 0 apart)")
    axes.set_ylabel("test AUC")
    axes.grid(axis="y")
    titled(axes, f"Target scenario {target}")
    figure.legend(loc="outside lower center", ncols=3, fontsize=9, frameon=False)
    return picture(figure, f"AUC on {target} by the share of its training rows; the values are in the table.")


def _place(fraction: float, fractions: Sequence[float]) -> float:
    """log10 of a fraction; 0 stands half a decade left of the smallest."""
    smallest = min((f for f in fractions if f > 0), default=1.0)
    return math.log10(fraction) if fraction > 0 else math.log10(smallest) - 0.5


def removal_plot(rows: Rows) -> Picture:
    """Change of AUC by target (rows) and removed source (columns), in thousandths."""
    targets, removed = (list(dict.fromkeys(row[key] for row in rows)) for key in ("target", "removed"))
    found = {(row["target"], row["removed"]): 1000 * row["auc_change"] for row in rows}
    loss = [[max(0.0, -found.get((t, r), 0.0)) for r in removed] for t in targets]
    texts = [[f"{found[t, r]:+.1f}" if (t, r) in found else "" for r in removed] for t in targets]
    figure, axes = drawing(1.1 + 0.42 * len(targets), max(WIDTH_IN, 1.2 + 0.62 * len(removed)))
    heatmap(axes, loss, texts, targets, removed, (0.0, max(*(value for line in loss for value in line), 1e-9)))
    axes.set_xlabel("source scenario taken away")
    axes.set_ylabel("target scenario")
    titled(axes, "Change in AUC, thousandths")
    told = ", ".join(f"{t} without {r} {value:+.1f}" for (t, r), value in found.items())
    return picture(figure, f"Change in AUC, in thousandths: {told}.")


def confusion_plot(scenarios: Sequence[str], confusion: Sequence[Sequence[int]]) -> Picture:
    """Share of each true scenario's samples by the scenario that was recognised."""
    share = [[count / max(sum(line), 1) for count in line] for line in confusion]
    texts = [[f"{value:.0%}" for value in line] for line in share]
    size = 1.2 + 0.6 * len(scenarios)
    figure, axes = drawing(0.9 + 0.42 * len(scenarios), max(size, 3.4))
    heatmap(axes, share, texts, scenarios, scenarios, (0.0, 1.0))
    _axes_of_confusion(axes)
    told = "; ".join(f"{name}: {' '.join(line)}" for name, line in zip(scenarios, texts, strict=True))
    return picture(figure, f"Confusion matrix, true scenario by recognised one: {told}.")


def _axes_of_confusion(axes: Axes) -> None:
    axes.set_xlabel("recognised scenario")
    axes.set_ylabel("true scenario")
    titled(axes, "Share of each true scenario")
