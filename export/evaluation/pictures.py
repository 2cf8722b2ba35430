"""How plots look and become part of a page: one style, SVG as data URI. Knows nothing of what is plotted."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

BLUE, GREY, DARK, RED, GREEN, ORANGE = "#1f5fa8", "#9aa5b1", "#3d4852", "#b23b3b", "#2f7d4f", "#b8741a"
BLUES = ("#6aa5de", BLUE, "#12355b")
CYCLE = (ORANGE, GREEN, RED, "#6b4fa0", GREY, "#c2549b", "#6b5a3a", DARK)

STYLE: Any = {
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#8795a1",
    "axes.labelcolor": DARK,
    "xtick.color": DARK,
    "ytick.color": DARK,
    "axes.grid": False,
    "grid.color": "#e3e8ee",
    "svg.hashsalt": "crossrec",
    "svg.fonttype": "path",
}

WIDTH_IN = 4.8
"""Of one picture: two stand side by side on a desk's screen, one on a phone's."""


@dataclass(frozen=True)
class Picture:
    """An image: `uri` holds it, `alt` says what it shows to who cannot see it."""

    uri: str
    alt: str


def drawing(height_in: float, width_in: float = WIDTH_IN) -> tuple[Figure, Axes]:
    """A figure with one set of axes in the house style."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(width_in, height_in), layout="constrained")
        return figure, figure.add_subplot()


def picture(figure: Figure, alt: str) -> Picture:
    """The figure as a picture."""
    buffer = io.BytesIO()
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    with mpl.rc_context(STYLE):
        figure.savefig(buffer, format="svg", metadata=nothing)
    return Picture("data:image/svg+xml;base64," + base64.b64encode(buffer.getvalue()).decode(), alt)


def titled(axes: Axes, text: str, size: float = 11) -> None:
    """Give axes their title, at the figure's left edge, where it has the whole width."""
    axes.figure.suptitle(text, x=0.01, ha="left", fontsize=size, fontweight="bold", color=DARK)


def dots(
    axes: Axes,
    names: Sequence[str],
    values: Sequence[float],
    spans: Sequence[tuple[float, float] | None],
    colours: Sequence[str],
) -> None:
    """One dot per name, the first on top, with its span from low to high."""
    for place, (value, span, colour) in enumerate(zip(values, spans, colours, strict=True)):
        if span:
            axes.plot(span, [place, place], color=colour, linewidth=2, solid_capstyle="butt")
        axes.plot([value], [place], "o", color=colour, markersize=6)
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.grid(axis="x")


def bars(
    axes: Axes,
    names: Sequence[str],
    values: Sequence[float],
    spans: Sequence[tuple[float, float] | None],
    colours: Sequence[str],
    start: float = 0.0,
    form: str = ".4f",
) -> None:
    """One bar per name from `start`, the first on top, with its span and its value written behind."""
    places = range(len(names))
    axes.barh(places, [value - start for value in values], left=start, color=colours, height=0.62)
    ends = [max(value, start, *(span or ())) for value, span in zip(values, spans, strict=True)]
    for place, span in zip(places, spans, strict=True):
        if span:
            axes.plot(span, [place, place], color="black", linewidth=1.3)
    low = min(start, *values, *(edge for span in spans if span for edge in span))
    width = (max(ends) - low) or 1.0
    for place, (value, end) in enumerate(zip(values, ends, strict=True)):
        axes.text(end + 0.015 * width, place, format(value, form), va="center", fontsize=9, color=DARK)
    axes.set_xlim(low - (0.04 * width if low < start else 0), max(ends) + 0.2 * width)
    axes.set_yticks(places, names)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)


def heatmap(
    axes: Axes,
    values: Sequence[Sequence[float]],
    texts: Sequence[Sequence[str]],
    rows: Sequence[str],
    columns: Sequence[str],
    span: tuple[float, float],
) -> None:
    """A matrix as blue cells with a text in each; dark cells have white text."""
    axes.imshow(values, cmap="Blues", vmin=span[0], vmax=span[1], aspect="auto")
    middle = span[0] + 0.6 * (span[1] - span[0])
    for i, line in enumerate(texts):
        for j, text in enumerate(line):
            colour = "white" if values[i][j] > middle else "black"
            axes.text(j, i, text, ha="center", va="center", fontsize=8.5, color=colour)
    axes.set_xticks(range(len(columns)), columns)
    axes.set_yticks(range(len(rows)), rows)
    axes.tick_params(length=0)
    for side in axes.spines.values():
        side.set_visible(False)
