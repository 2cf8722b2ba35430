"""The report's plots, as SVG that stands in the page itself. Knows a run's figures and matplotlib."""

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
from markupsafe import Markup, escape
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from services.load.tally import OK
from services.load.words import shown

BLUE, LIGHT, GREY, DARK, RED, ORANGE = "#1f5fa8", "#6aa5de", "#9aa5b1", "#3d4852", "#b23b3b", "#b8741a"
ERRORS = (RED, ORANGE, "#6b4fa0", "#2f7d4f", "#c2549b", "#6b5a3a")
STYLE: Any = {
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#8795a1",
    "axes.labelcolor": DARK,
    "axes.grid": True,
    "axes.axisbelow": True,
    "xtick.color": DARK,
    "ytick.color": DARK,
    "grid.color": "#e3e8ee",
    "svg.hashsalt": "crossrec",
    "svg.fonttype": "path",
}
SIZE_IN = (4.8, 3.3)
"""Two stand side by side on a desk's screen, one on a phone's."""


@dataclass(frozen=True)
class Plot:
    """A plot: an SVG element, and what it shows in words."""

    svg: Markup
    title: str


def plots(figures: dict[str, Any]) -> list[Plot]:
    """All plots that the run has figures for."""
    made = [latency_over_time(figures), throughput_over_time(figures)]
    if len(figures["steps"]) > 1:
        made.append(latency_against_load(figures))
    return [*made, percentile_curve(figures)]


def latency_over_time(figures: dict[str, Any]) -> Plot:
    """Percentiles of what was due in each second."""
    rows = [row for row in figures["seconds"] if row["p50_ms"] is not None]
    figure, axes = _drawing()
    at = [row["second"] for row in rows]
    for name, label, colour in (("max_ms", "max", GREY), ("p99_ms", "p99", BLUE), ("p50_ms", "p50", LIGHT)):
        axes.plot(at, [row[name] for row in rows], color=colour, linewidth=1.6, label=label)
    _milliseconds(axes, [row[name] for row in rows for name in ("p50_ms", "max_ms")])
    axes.set_xlabel("second of the run in which requests were due")
    return _plot(figure, axes, "Latency over time", "ms")


def throughput_over_time(figures: dict[str, Any]) -> Plot:
    """Requests offered and ended in each second, errors by their code."""
    rows = figures["seconds"]
    figure, axes = _drawing()
    at = [row["second"] for row in rows]
    axes.plot(at, [row["offered"] for row in rows], color=GREY, linewidth=1.6, label="offered", drawstyle="steps-mid")
    axes.plot(at, [row["codes"].get(OK, 0) for row in rows], color=BLUE, linewidth=1.6, label="answered")
    failures = [code for code in figures["overall"]["codes"] if code != OK]
    for number, code in enumerate(failures):
        colour = ERRORS[number % len(ERRORS)]
        axes.plot(at, [row["codes"].get(code, 0) for row in rows], color=colour, linewidth=1.6, label=code)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("second of the run")
    return _plot(figure, axes, "Throughput and errors over time", "requests per second")


def latency_against_load(figures: dict[str, Any]) -> Plot:
    """Percentiles of each step by the rate that was offered; steps that were not held are hollow."""
    steps = sorted(figures["steps"], key=lambda step: float(step["offered_per_s"]))
    figure, axes = _drawing()
    rates = [step["offered_per_s"] for step in steps]
    for name, colour in (("p99.9", GREY), ("p99", BLUE), ("p50", LIGHT)):
        line = "-" if len({step["rate"] for step in steps}) == len(steps) else "none"  # not through steps of one rate
        axes.plot(rates, [step["latency_ms"][name] for step in steps], linestyle=line, color=colour, linewidth=1.6)
        axes.plot([], [], color=colour, linewidth=1.6, label=name)
        for held, face in ((True, colour), (False, "white")):
            points = [(step["offered_per_s"], step["latency_ms"][name]) for step in steps if step["held"] is held]
            axes.plot(
                *zip(*points, strict=True), "o", color=colour, markersize=5, markerfacecolor=face
            ) if points else None
    _milliseconds(axes, [step["latency_ms"][name] for step in steps for name in ("p50", "p99.9")])
    axes.set_xlabel("offered, requests per second (hollow: not held)")
    return _plot(figure, axes, "Latency against load", "ms")


def percentile_curve(figures: dict[str, Any]) -> Plot:
    """All percentiles, from when requests were due and from when they were sent."""
    part, of = shown(figures)
    figure, axes = _drawing()
    curves = {"from its time": ("latency_curve", BLUE), "from sending": ("service_curve", ORANGE)}
    values = []
    for label, (name, colour) in curves.items():
        points = [(100 / (100 - percent), ms) for percent, ms in part[name] if percent < 100]
        values += [ms for _, ms in points]
        if points:
            axes.plot(*zip(*points, strict=True), color=colour, linewidth=1.6, label=label)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 - 100 / value:g} %"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    _milliseconds(axes, values)
    axes.set_xlabel("percentile of the requests")
    return _plot(figure, axes, f"Latency by percentile, {of}", "ms")


def _drawing() -> tuple[Figure, Axes]:
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=SIZE_IN, layout="constrained")
        return figure, figure.add_subplot()


def _milliseconds(axes: Axes, values: Sequence[float]) -> None:
    """A scale on which small and large latencies can both be read, in plain numbers."""
    lowest = min((value for value in values if value > 0), default=1.0)
    if max(values, default=1.0) > 20 * lowest:
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())
    else:
        axes.set_ylim(bottom=0)


def _plot(figure: Figure, axes: Axes, title: str, unit: str) -> Plot:
    """The figure as an SVG element that fills what width it gets."""
    axes.set_ylabel(unit)
    labels = axes.get_legend_handles_labels()[1]
    if labels:
        columns = 2 if any(len(label) > 16 for label in labels) else 3
        figure.legend(loc="outside upper left", ncols=columns, fontsize=9, frameon=False)
    buffer = io.StringIO()
    with mpl.rc_context(STYLE):
        figure.savefig(buffer, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    svg = buffer.getvalue()
    svg = re.sub(r' (width|height)="[\d.]+pt"', "", svg[svg.index("<svg") :], count=2)
    # Elements without references to them keep no ids: several plots stand in one page.
    svg = re.sub(r'<g id="[^"]*">', "<g>", svg)
    named = f'<svg role="img" aria-label="{escape(title)}"'
    return Plot(Markup(svg.replace("<svg", named, 1)), title)  # noqa: S704 - matplotlib's own output
