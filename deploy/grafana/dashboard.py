"""Generates dashboard.json from panels.py: `python -m deploy.grafana.dashboard`."""

import json
from pathlib import Path
from typing import Any

from deploy.grafana.panels import ROWS, Panel

PATH = Path(__file__).with_name("dashboard.json")
WIDTH, HEIGHT = 24, 8


def dashboard() -> dict[str, Any]:
    """The dashboard in Grafana's JSON model."""
    panels: list[dict[str, Any]] = []
    top = 0
    for title, row in ROWS.items():
        panels.append({"type": "row", "title": title, "collapsed": False, "gridPos": _place(0, top, WIDTH, 1)})
        top += 1
        across = len(row) if row[0].stat else 3
        height = 4 if row[0].stat else HEIGHT
        for number, panel in enumerate(row):
            down, left = divmod(number, across)
            width = WIDTH // across
            panels.append(_panel(panel, _place(left * width, top + down * height, width, height)))
        top += height * -(-len(row) // across)
    numbered = [{"id": number, **panel} for number, panel in enumerate(panels, 1)]
    source = {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus"}
    return {
        "uid": "crossrec",
        "title": "CrossRec",
        "tags": ["crossrec"],
        "schemaVersion": 39,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "templating": {"list": [source]},
        "panels": numbered,
    }


def _panel(panel: Panel, place: dict[str, int]) -> dict[str, Any]:
    source = {"type": "prometheus", "uid": "${datasource}"}
    custom: dict[str, Any] = {"fillOpacity": 10, "showPoints": "never"}
    if panel.stacked:
        custom |= {"fillOpacity": 40, "stacking": {"mode": "normal", "group": "A"}}
    targets = [
        {"refId": chr(ord("A") + number), "datasource": source, "expr": query, "legendFormat": legend}
        for number, (query, legend) in enumerate(panel.queries)
    ]
    return {
        "type": "stat" if panel.stat else "timeseries",
        "title": panel.title,
        "description": panel.help,
        "datasource": source,
        "gridPos": place,
        "fieldConfig": {
            "defaults": {"unit": panel.unit, "min": 0, **({} if panel.stat else {"custom": custom})},
            "overrides": [],
        },
        "options": {} if panel.stat else {"tooltip": {"mode": "multi", "sort": "desc"}},
        "targets": targets,
    }


def _place(x: int, y: int, w: int, h: int) -> dict[str, int]:
    return {"x": x, "y": y, "w": w, "h": h}


def text() -> str:
    """The content of dashboard.json."""
    return json.dumps(dashboard(), indent=1) + "\n"


if __name__ == "__main__":
    PATH.write_text(text())
