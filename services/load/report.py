"""The report: one HTML file with everything in it, from a run's figures. Reads no files."""

from collections.abc import Sequence
from typing import Any

from services.load.plots import plots
from services.load.words import found, in_words, notices, number, profile_in_words, shown
from services.report.page import ReportPage, ReportTable, Section, Tile, render_page, text_row

PERCENTILES = ("p50", "p90", "p99", "p99.9", "max")

METHOD = (
    "Requests are due at times that are fixed before the first is sent, whatever happened to earlier ones: a latency "
    "counts from the time its request was due, so a stalled server shows in all the requests that were due meanwhile. "
    "Requests that exceeded their deadline count with the time they had waited; other errors are counted and have no "
    "latency."
)


def render(figures: dict[str, Any]) -> str:
    """The page as HTML."""
    started = figures["started_at"][:16].replace("T", " ")
    return render_page(
        ReportPage(
            title=f"Load on {figures['target']['address']}",
            subtitle=f"{profile_in_words(figures['profile'])} Started {started} UTC.",
            notices=notices(figures),
            findings=found(figures),
            tiles=tiles(figures),
            sections=[
                Section("plots", "Plots", plots=plots(figures)),
                Section("tables", "Tables", tables=tables(figures)),
                Section("method", "How it was measured", [METHOD], facts=facts(figures)),
            ],
        )
    )


def tiles(figures: dict[str, Any]) -> list[Tile]:
    """The figures that most people look for."""
    part, of = shown(figures)
    at = f", {of}" if part is not figures["overall"] else ""
    made = [Tile("held, requests/s", number(figures["capacity"]["rate"]))] if figures["capacity"] else []
    return [
        *made,
        Tile("offered, requests/s", number(part["offered_per_s"])),
        Tile("goodput, answers/s", number(part["goodput_per_s"])),
        Tile("not answered", f"{1 - part['goodput_share']:.2%}"),
        *(Tile(f"{name}, ms{at}", number(part["latency_ms"][name])) for name in PERCENTILES),
    ]


def tables(figures: dict[str, Any]) -> list[ReportTable]:
    """Steps, and what became of requests."""
    whole = figures["overall"]
    made = [steps_table(figures)]
    times = {
        "latency, from its time": "latency_ms",
        "service, from sending": "service_ms",
        "client's lag, from its time to sending": "client_lag_ms",
    }
    rows = [[name, *(number(whole[key][percentile]) for percentile in PERCENTILES)] for name, key in times.items()]
    made.append(_table("Times over the whole run, ms", ["", *PERCENTILES], rows))
    kinds = {"Status codes": "codes", "Degraded answers": "degraded", "Models": "models", "Experiment arms": "arms"}
    for caption, key in kinds.items():
        counts = [
            [name or "none", f"{count:,}", f"{count / whole['requests']:.2%}"] for name, count in whole[key].items()
        ]
        if counts and list(whole[key]) != [""]:
            made.append(_table(caption, ["", "requests", "share"], counts))
    return made


def steps_table(figures: dict[str, Any]) -> ReportTable:
    """One row per step."""
    columns = ["rate", "offered /s", "goodput /s", "not answered", *(f"{name}, ms" for name in PERCENTILES), "held"]
    rows = [
        [
            f"{round(step['rate'], 1):g}",
            number(step["offered_per_s"]),
            number(step["goodput_per_s"]),
            f"{1 - step['goodput_share']:.2%}",
            *(number(step["latency_ms"][name]) for name in PERCENTILES),
            ("yes" if step["held"] else "no") + (", client behind" if step["client_behind"] else ""),
        ]
        for step in figures["steps"]
    ]
    profile = figures["profile"]
    bounds = f"held: at least {profile['min_goodput']:.0%} answered, p99 at most {profile['max_p99_ms']:g} ms"
    return _table(f"Steps ({bounds})", columns, rows)


def facts(figures: dict[str, Any]) -> list[tuple[str, str]]:
    """Workload, client, versions and machine."""
    parts = {name: figures[name] for name in ("target", "workload", "clients", "versions", "client_machine")}
    return [(name.replace("_", " "), in_words(part)) for name, part in parts.items()]


def _table(caption: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> ReportTable:
    return ReportTable(caption, columns, [text_row(*row) for row in rows])
