"""Plots of reports: one matplotlib style, drawn as SVG elements that stand in the page. Knows nothing of the data."""

import io
import re
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
from markupsafe import Markup, escape
from matplotlib.axes import Axes
from matplotlib.figure import Figure

BLUE, LIGHT_BLUE, GREY, DARK = "#1f5fa8", "#6aa5de", "#9aa5b1", "#3d4852"
RED, GREEN, ORANGE, PURPLE, PINK, BROWN = "#b23b3b", "#2f7d4f", "#b8741a", "#6b4fa0", "#c2549b", "#6b5a3a"

STYLE: Any = {
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#8795a1",
    "axes.labelcolor": DARK,
    "axes.axisbelow": True,
    "xtick.color": DARK,
    "ytick.color": DARK,
    "grid.color": "#e3e8ee",
    "svg.hashsalt": "crossrec",
    "svg.fonttype": "path",
}

WIDTH_IN = 4.8
"""Width of a plot, inches: two stand side by side on a desktop screen, one on a phone."""


@dataclass(frozen=True)
class Plot:
    """A plot.

    Args:
        svg: the SVG element.
        title: what it shows; its text alternative, too.
        captioned: whether the page writes the title above it; otherwise the drawing holds it.
        width_in: width in the page, inches; 0: that of the grid's column.
    """

    svg: Markup
    title: str
    captioned: bool = True
    width_in: float = 0.0


def new_axes(height_in: float, width_in: float = WIDTH_IN, *, grid: bool = False) -> tuple[Figure, Axes]:
    """A figure with one set of axes in the reports' style."""
    with mpl.rc_context({**STYLE, "axes.grid": grid}):
        figure = Figure(figsize=(width_in, height_in), layout="constrained")
        return figure, figure.add_subplot()


def svg_plot(figure: Figure, title: str, *, captioned: bool = True, natural_width: bool = False) -> Plot:
    """The figure as an SVG element that fills the width it gets; `natural_width`: that of the figure itself."""
    buffer = io.StringIO()
    with mpl.rc_context(STYLE):
        figure.savefig(buffer, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    svg = buffer.getvalue()
    svg = re.sub(r' (width|height)="[\d.]+pt"', "", svg[svg.index("<svg") :], count=2)
    # Elements without references to them keep no ids: several plots stand in one page.
    svg = re.sub(r'<g id="[^"]*">', "<g>", svg)
    svg = svg.replace("<svg", f'<svg role="img" aria-label="{escape(title)}"', 1)
    width_in = float(figure.get_figwidth()) if natural_width else 0.0
    return Plot(Markup(svg), title, captioned, width_in)  # noqa: S704 - matplotlib's own output
