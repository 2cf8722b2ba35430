"""Plots of experiments: ablation, scarcity, sources, and the recogniser's confusion matrix.

Knows the structure of the experiments' files.
"""

import math
from collections.abc import Sequence
from statistics import stdev
from typing import Any

from export.evaluation.charts import Span, draw_bars, draw_heatmap, draw_title, finish_plot
from export.evaluation.labels import format_signed
from services.report.plots import BLUE, GREEN, GREY, ORANGE, WIDTH_IN, Plot, new_axes

Rows = Sequence[dict[str, Any]]

ARMS = {"joint": BLUE, "alone": ORANGE, "pooled": GREEN}


def plot_changes(rows: Rows, name: str, field: str, title: str) -> Plot:
    """Changes in AUC, in thousandths: a bar per row, labelled by column `name`, with its deviation over seeds.

    The largest loss is on top.
    """
    ordered = sorted(rows, key=lambda row: row[field])
    values = [1000 * row[field] for row in ordered]
    spans = [_interval(value, 1000 * row.get(f"{field}_sd", 0.0)) for value, row in zip(values, ordered, strict=True)]
    figure, axes = new_axes(1.0 + 0.32 * len(ordered))
    colours = [BLUE if value < 0 else GREY for value in values]
    if ordered:
        draw_bars(axes, [str(row[name]) for row in ordered], values, spans, colours, number_format="+.1f")
    axes.axvline(0, color="black", linewidth=0.8)
    axes.set_xlabel("change in AUC, thousandths")
    draw_title(axes, title)
    return finish_plot(figure, f"{title}: {', '.join(f'{row[name]} {format_signed(row[field])}' for row in ordered)}.")


def known_rows(rows: Rows, field: str) -> list[dict[str, Any]]:
    """The rows that have a value: a metric is null where test rows of one class leave it undefined."""
    return [row for row in rows if row[field] is not None]


def _interval(value: float, deviation: float) -> Span | None:
    return (value - deviation, value + deviation) if deviation else None


def plot_scarcity(rows: Rows, target: str) -> Plot:
    """AUC on the target over the fraction of its training rows: a line per arm, bands of deviation over seeds."""
    figure, axes = new_axes(3.1)
    fractions = sorted({row["fraction"] for row in rows if row["target"] == target})
    for arm, colour in ARMS.items():
        line = sorted(
            (row for row in known_rows(rows, "auc") if row["target"] == target and row["arm"] == arm),
            key=lambda row: row["fraction"],
        )
        positions = [_log_position(row["fraction"], fractions) for row in line]
        values, deviations = [row["auc"] for row in line], [_deviation(row["seeds"]) for row in line]
        axes.plot(positions, values, "o-", color=colour, label=arm, linewidth=1.6, markersize=4)
        low, high = ([v + sign * d for v, d in zip(values, deviations, strict=True)] for sign in (-1, 1))
        axes.fill_between(positions, low, high, color=colour, alpha=0.18, linewidth=0)
    axes.set_xticks([_log_position(fraction, fractions) for fraction in fractions], [f"{100 * f:g}" for f in fractions])
    axes.set_xlabel("% of this scenario's training rows (logarithmic, 0 apart)")
    axes.set_ylabel("test AUC")
    axes.grid(axis="y")
    draw_title(axes, f"Target scenario {target}")
    figure.legend(loc="outside lower center", ncols=3, fontsize=9, frameon=False)
    return finish_plot(figure, f"AUC on {target} by the share of its training rows; the values are in the table.")


def _deviation(seeds: Sequence[float]) -> float:
    return stdev(seeds) if len(seeds) > 1 else 0.0


def _log_position(fraction: float, fractions: Sequence[float]) -> float:
    """log10 of a fraction; 0 is half a decade left of the smallest."""
    smallest = min((f for f in fractions if f > 0), default=1.0)
    return math.log10(fraction) if fraction > 0 else math.log10(smallest) - 0.5


def plot_removal(rows: Rows) -> Plot:
    """Change of AUC by target (rows) and removed source (columns), in thousandths."""
    targets, removed = (list(dict.fromkeys(row[key] for row in rows)) for key in ("target", "removed"))
    changes = {(row["target"], row["removed"]): 1000 * row["auc_change"] for row in known_rows(rows, "auc_change")}
    loss = [[max(0.0, -changes.get((t, r), 0.0)) for r in removed] for t in targets]
    texts = [[f"{changes[t, r]:+.1f}" if (t, r) in changes else "" for r in removed] for t in targets]
    figure, axes = new_axes(1.1 + 0.42 * len(targets), max(WIDTH_IN, 1.2 + 0.62 * len(removed)))
    draw_heatmap(axes, loss, texts, targets, removed, (0.0, max(*(value for line in loss for value in line), 1e-9)))
    axes.set_xlabel("removed source scenario")
    axes.set_ylabel("target scenario")
    draw_title(axes, "Change in AUC, thousandths")
    cells = ", ".join(f"{t} without {r} {value:+.1f}" for (t, r), value in changes.items())
    return finish_plot(figure, f"Change in AUC, in thousandths: {cells}.")


def plot_confusion(scenarios: Sequence[str], confusion: Sequence[Sequence[int]]) -> Plot:
    """Share of each true scenario's samples by recognised scenario."""
    share = [[count / max(sum(line), 1) for count in line] for line in confusion]
    texts = [[f"{value:.0%}" for value in line] for line in share]
    figure, axes = new_axes(0.9 + 0.42 * len(scenarios), max(1.2 + 0.6 * len(scenarios), 3.4))
    draw_heatmap(axes, share, texts, scenarios, scenarios, (0.0, 1.0))
    axes.set_xlabel("recognised scenario")
    axes.set_ylabel("true scenario")
    draw_title(axes, "Share of each true scenario")
    lines = "; ".join(f"{name}: {' '.join(line)}" for name, line in zip(scenarios, texts, strict=True))
    return finish_plot(figure, f"Confusion matrix, true scenario by recognised one: {lines}.")
