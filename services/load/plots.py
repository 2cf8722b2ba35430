"""Plots of the load report. Knows a run's results and matplotlib."""

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from services.load.stats import OK
from services.load.summary import headline_results
from services.report.plots import (
    BLUE,
    BROWN,
    GREEN,
    GREY,
    LIGHT_BLUE,
    ORANGE,
    PINK,
    PURPLE,
    RED,
    Plot,
    new_axes,
    svg_plot,
)

ERROR_COLOURS = (RED, ORANGE, PURPLE, GREEN, PINK, BROWN)
HEIGHT_IN = 3.3


def plots(results: dict[str, Any]) -> list[Plot]:
    """All plots that the run has results for."""
    made = [latency_over_time(results), throughput_over_time(results)]
    if len(results["steps"]) > 1:
        made.append(latency_against_load(results))
    return [*made, percentile_curve(results)]


def latency_over_time(results: dict[str, Any]) -> Plot:
    """Percentiles of what was due in each second."""
    rows = [row for row in results["seconds"] if row["p50_ms"] is not None]
    figure, axes = new_axes(HEIGHT_IN, grid=True)
    at = [row["second"] for row in rows]
    for name, label, colour in (("max_ms", "max", GREY), ("p99_ms", "p99", BLUE), ("p50_ms", "p50", LIGHT_BLUE)):
        axes.plot(at, [row[name] for row in rows], color=colour, linewidth=1.6, label=label)
    _scale_milliseconds(axes, [row[name] for row in rows for name in ("p50_ms", "max_ms")])
    axes.set_xlabel("second of the run in which requests were due")
    return _finish(figure, axes, "Latency over time", "ms")


def throughput_over_time(results: dict[str, Any]) -> Plot:
    """Requests offered and ended in each second, errors by their code."""
    rows = results["seconds"]
    figure, axes = new_axes(HEIGHT_IN, grid=True)
    at = [row["second"] for row in rows]
    axes.plot(at, [row["offered"] for row in rows], color=GREY, linewidth=1.6, label="offered", drawstyle="steps-mid")
    axes.plot(at, [row["codes"].get(OK, 0) for row in rows], color=BLUE, linewidth=1.6, label="answered")
    failures = [code for code in results["overall"]["codes"] if code != OK]
    for number, code in enumerate(failures):
        colour = ERROR_COLOURS[number % len(ERROR_COLOURS)]
        axes.plot(at, [row["codes"].get(code, 0) for row in rows], color=colour, linewidth=1.6, label=code)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("second of the run")
    return _finish(figure, axes, "Throughput and errors over time", "requests per second")


def latency_against_load(results: dict[str, Any]) -> Plot:
    """Percentiles of each step by the rate that was offered; steps that were not held are hollow."""
    steps = sorted(results["steps"], key=lambda step: float(step["offered_per_s"]))
    figure, axes = new_axes(HEIGHT_IN, grid=True)
    rates = [step["offered_per_s"] for step in steps]
    for name, colour in (("p99.9", GREY), ("p99", BLUE), ("p50", LIGHT_BLUE)):
        line = "-" if len({step["rate"] for step in steps}) == len(steps) else "none"  # not through steps of one rate
        axes.plot(rates, [step["latency_ms"][name] for step in steps], linestyle=line, color=colour, linewidth=1.6)
        axes.plot([], [], color=colour, linewidth=1.6, label=name)
        for held, face in ((True, colour), (False, "white")):
            points = [(step["offered_per_s"], step["latency_ms"][name]) for step in steps if step["held"] is held]
            axes.plot(
                *zip(*points, strict=True), "o", color=colour, markersize=5, markerfacecolor=face
            ) if points else None
    _scale_milliseconds(axes, [step["latency_ms"][name] for step in steps for name in ("p50", "p99.9")])
    axes.set_xlabel("offered, requests per second (hollow: not held)")
    return _finish(figure, axes, "Latency against load", "ms")


def percentile_curve(results: dict[str, Any]) -> Plot:
    """All percentiles, from when requests were due and from when they were sent."""
    part, of = headline_results(results)
    figure, axes = new_axes(HEIGHT_IN, grid=True)
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
    _scale_milliseconds(axes, values)
    axes.set_xlabel("percentile of the requests")
    return _finish(figure, axes, f"Latency by percentile, {of}", "ms")


def _scale_milliseconds(axes: Axes, values: Sequence[float]) -> None:
    """A scale on which small and large latencies can both be read, in plain numbers."""
    lowest = min((value for value in values if value > 0), default=1.0)
    if max(values, default=1.0) > 20 * lowest:
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())
    else:
        axes.set_ylim(bottom=0)


def _finish(figure: Figure, axes: Axes, title: str, unit: str) -> Plot:
    """Label the y axis, add the legend and draw the plot."""
    axes.set_ylabel(unit)
    labels = axes.get_legend_handles_labels()[1]
    if labels:
        columns = 2 if any(len(label) > 16 for label in labels) else 3
        figure.legend(loc="outside upper left", ncols=columns, fontsize=9, frameon=False)
    return svg_plot(figure, title)
