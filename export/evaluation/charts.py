"""Charts of evaluation reports: bars, dots with intervals, and heat maps. Knows nothing of the data."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from services.report.plots import BLUE, BROWN, DARK, GREEN, GREY, LIGHT_BLUE, ORANGE, PINK, PURPLE, RED, Plot, svg_plot

BLUES = (LIGHT_BLUE, BLUE, "#12355b")
CYCLE = (ORANGE, GREEN, RED, PURPLE, GREY, PINK, BROWN, DARK)

Span = tuple[float, float]
"""Low and high end of an interval."""


def draw_title(axes: Axes, text: str, size: float = 11) -> None:
    """Draw the title at the figure's left edge, where it has the whole width."""
    axes.figure.suptitle(text, x=0.01, ha="left", fontsize=size, fontweight="bold", color=DARK)


def finish_plot(figure: Figure, text_alternative: str) -> Plot:
    """The plot of a figure that draws its own title, at the figure's own width."""
    return svg_plot(figure, text_alternative, captioned=False, natural_width=True)


def draw_dots(
    axes: Axes,
    names: Sequence[str],
    values: Sequence[float],
    spans: Sequence[Span | None],
    colours: Sequence[str],
) -> None:
    """Draw one dot per name, the first on top, with its interval."""
    for row, (value, span, colour) in enumerate(zip(values, spans, colours, strict=True)):
        if span:
            axes.plot(span, [row, row], color=colour, linewidth=2, solid_capstyle="butt")
        axes.plot([value], [row], "o", color=colour, markersize=6)
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.grid(axis="x")


def draw_bars(
    axes: Axes,
    names: Sequence[str],
    values: Sequence[float],
    spans: Sequence[Span | None],
    colours: Sequence[str],
    start: float = 0.0,
    number_format: str = ".4f",
) -> None:
    """Draw one bar per name from `start`, the first on top, with its interval, and its value behind it."""
    rows = range(len(names))
    axes.barh(rows, [value - start for value in values], left=start, color=colours, height=0.62)
    ends = [max(value, start, *(span or ())) for value, span in zip(values, spans, strict=True)]
    for row, span in zip(rows, spans, strict=True):
        if span:
            axes.plot(span, [row, row], color="black", linewidth=1.3)
    low = min(start, *values, *(edge for span in spans if span for edge in span))
    width = (max(ends) - low) or 1.0
    for row, (value, end) in enumerate(zip(values, ends, strict=True)):
        axes.text(end + 0.015 * width, row, format(value, number_format), va="center", fontsize=9, color=DARK)
    axes.set_xlim(low - (0.04 * width if low < start else 0), max(ends) + 0.2 * width)
    axes.set_yticks(rows, names)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)


def draw_heatmap(
    axes: Axes,
    values: Sequence[Sequence[float]],
    texts: Sequence[Sequence[str]],
    rows: Sequence[str],
    columns: Sequence[str],
    span: Span,
) -> None:
    """Draw a matrix as blue cells with a text in each; dark cells have white text."""
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
