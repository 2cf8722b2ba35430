"""ECharts options of the plots. Colours suit the colour-blind; every value is also in a table."""

from collections.abc import Sequence
from typing import Any

from services.console.ranking_view import RankedLine, SourceWeight

PALETTE = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#7F7F7F", "#F0E442", "#332288", "#882255")
"""Okabe and Ito (2008), extended by two of Tol's; more sources than that are distinguished by patterns."""

SEQUENCE = ("#F7FBFF", "#C6DBEF", "#6BAED6", "#2171B5", "#08306B")
"""One hue, light to dark."""

TEXT, LINES = "#333333", "#DDDDDD"
LABEL, WIDE_LABEL = 136, 300
"""Room for the titles of items, pixels, where the plot is narrow and where it is WIDE."""

WIDE = 600
MOST_BARS = 20
DARK = 0.65
"""From this part of the largest share on a cell's text is white."""

MOST_LABELLED = 8
"""Columns up to which cells of a heatmap have room for their values."""


def colour(place: int) -> str:
    """The colour of the source scenario at a position; the same on all pages."""
    return PALETTE[place % len(PALETTE)]


def contributions_chart(
    lines: Sequence[RankedLine], sources: Sequence[SourceWeight], most: int = MOST_BARS
) -> dict[str, Any]:
    """Stacked bars: each of the first items' score, split into what each source scenario contributes."""
    shown = lines[:most]
    labels = [f"{line.place}. {line.title}" for line in shown]
    wide = {"grid": {"left": WIDE_LABEL + 12}, "yAxis": {"axisLabel": {"width": WIDE_LABEL}}}
    described = "; ".join(f"{label}: {line.score:.3f}" for label, line in zip(labels, shown, strict=True))
    base = {
        "aria": {"enabled": True, "description": f"Scores of ranked items, best first. {described}"},
        "animation": False,
        "grid": {"left": LABEL + 12, "right": 14, "top": 8, "bottom": 44},
        "tooltip": {"trigger": "axis", "axisPointer": {"type": "shadow"}, "confine": True, "order": "seriesDesc"},
        "xAxis": {
            "type": "value",
            "name": "score R = sum of contributions M·P",
            "nameLocation": "middle",
            "nameGap": 28,
            "nameTextStyle": {"color": TEXT, "fontSize": 12},
            "axisLabel": {"color": TEXT, "fontSize": 12, "hideOverlap": True},
            "splitNumber": 4,
            "splitLine": {"lineStyle": {"color": LINES}},
        },
        "yAxis": {
            "type": "category",
            "data": labels,
            "inverse": True,
            "axisTick": {"show": False},
            "axisLabel": {"color": TEXT, "fontSize": 12, "width": LABEL, "overflow": "truncate", "interval": 0},
        },
        "series": [_bars(place, source, shown, len(sources)) for place, source in enumerate(sources)],
    }
    return {"baseOption": base, "media": [{"query": {"minWidth": WIDE}, "option": wide}]}


def _bars(place: int, source: SourceWeight, shown: Sequence[RankedLine], count: int) -> dict[str, Any]:
    style: dict[str, Any] = {"color": colour(place)}
    if count > len(PALETTE) and place >= len(PALETTE):
        style["decal"] = {"symbol": "line", "dashArrayX": [1, 0], "dashArrayY": [2, 3], "rotation": 0.8}
    return {
        "type": "bar",
        "stack": "score",
        "name": source.name,
        "itemStyle": style,
        "barMaxWidth": 22,
        "data": [round(line.contributions[place], 4) if line.contributions else 0 for line in shown],
    }


def heatmap(targets: Sequence[str], sources: Sequence[str], shares: Sequence[Sequence[float]]) -> dict[str, Any]:
    """Shares: a row per target scenario i, a column per source scenario j; 0 is light, the largest share is dark."""
    labelled = len(sources) <= MOST_LABELLED
    top = max((share for line in shares for share in line), default=0.0) or 1.0
    cells = [
        {
            "value": [column, row, round(share, 3)],
            "label": {"color": "#FFFFFF" if share > DARK * top else TEXT, "formatter": f"{share:.1%}"},
        }
        for row, line in enumerate(shares)
        for column, share in enumerate(line)
    ]
    axis = {"type": "category", "splitArea": {"show": False}, "axisTick": {"show": False}}
    label = {"color": TEXT, "fontSize": 12, "interval": 0}
    title = {"nameLocation": "middle", "nameTextStyle": {"color": TEXT, "fontSize": 12}}
    return {
        "aria": {"enabled": True, "description": "Shares of source scenarios; the table below has every value."},
        "animation": False,
        "grid": {"left": 78, "right": 12, "top": 64, "bottom": 64},
        "tooltip": {"confine": True},
        "xAxis": {
            **axis,
            **title,
            "data": list(sources),
            "position": "top",
            "name": "source scenario j",
            "nameGap": 34,
            "axisLabel": {**label, "rotate": 0 if labelled else 90},
        },
        "yAxis": {
            **axis,
            **title,
            "data": list(targets),
            "inverse": True,
            "name": "target scenario i",
            "nameGap": 60,
            "axisLabel": {**label, "width": 54, "overflow": "truncate"},
        },
        "visualMap": {
            "min": 0,
            "max": round(top, 3),
            "orient": "horizontal",
            "left": "center",
            "bottom": 4,
            "text": [f"{top:.0%}", "0%"],
            "calculable": False,
            "inRange": {"color": list(SEQUENCE)},
            "textStyle": {"color": TEXT, "fontSize": 12},
        },
        "series": [
            {
                "type": "heatmap",
                "name": "share",
                "data": cells,
                "label": {"show": labelled, "fontSize": 12},
                "itemStyle": {"borderColor": "#FFFFFF", "borderWidth": 2},
            }
        ],
    }


def bars_height(lines: int, most: int = MOST_BARS) -> int:
    """Pixels of the bar chart."""
    return 60 + 26 * max(1, min(lines, most))


def heatmap_height(targets: int) -> int:
    """Pixels of the heatmap."""
    return 136 + 44 * max(1, targets)
