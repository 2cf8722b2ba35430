"""The load report: one HTML page from a run's results. Reads no files."""

from collections.abc import Sequence
from typing import Any

from services.load.plots import plots
from services.load.summary import describe_profile, findings, format_fields, format_number, headline_results, notices
from services.report.page import ReportPage, ReportTable, Section, Tile, render_page, text_row

PERCENTILES = ("p50", "p90", "p99", "p99.9", "max")

METHOD = (
    "Requests are due at times that are fixed before the first is sent, whatever happened to earlier ones: a latency "
    "counts from the time its request was due, so a stalled server shows in all the requests that were due meanwhile. "
    "Requests that exceeded their deadline count with the time they had waited; other errors are counted and have no "
    "latency."
)


def render_report(results: dict[str, Any]) -> str:
    """The page as HTML."""
    started = results["started_at"][:16].replace("T", " ")
    return render_page(
        ReportPage(
            title=f"Load on {results['target']['address']}",
            subtitle=f"{describe_profile(results['profile'])} Started {started} UTC.",
            notices=notices(results),
            findings=findings(results),
            tiles=tiles(results),
            sections=[
                Section("plots", "Plots", plots=plots(results)),
                Section("tables", "Tables", tables=tables(results)),
                Section("method", "How it was measured", [METHOD], facts=facts(results)),
            ],
        )
    )


def tiles(results: dict[str, Any]) -> list[Tile]:
    """The main results."""
    part, of = headline_results(results)
    at = f", {of}" if part is not results["overall"] else ""
    made = [Tile("held, requests/s", format_number(results["capacity"]["rate"]))] if results["capacity"] else []
    return [
        *made,
        Tile("offered, requests/s", format_number(part["offered_per_s"])),
        Tile("goodput, answers/s", format_number(part["goodput_per_s"])),
        Tile("not answered", f"{1 - part['goodput_share']:.2%}"),
        *(Tile(f"{name}, ms{at}", format_number(part["latency_ms"][name])) for name in PERCENTILES),
    ]


def tables(results: dict[str, Any]) -> list[ReportTable]:
    """Steps, latencies, and requests by outcome."""
    whole = results["overall"]
    made = [steps_table(results)]
    times = {
        "latency, from its time": "latency_ms",
        "service, from sending": "service_ms",
        "client's lag, from its time to sending": "client_lag_ms",
    }
    rows = [[name, *(format_number(whole[key][p]) for p in PERCENTILES)] for name, key in times.items()]
    made.append(_table("Times over the whole run, ms", ["", *PERCENTILES], rows))
    kinds = {"Status codes": "codes", "Degraded answers": "degraded", "Models": "models", "Experiment arms": "arms"}
    for caption, key in kinds.items():
        counts = [
            [name or "none", f"{count:,}", f"{count / whole['requests']:.2%}"] for name, count in whole[key].items()
        ]
        if counts and list(whole[key]) != [""]:
            made.append(_table(caption, ["", "requests", "share"], counts))
    return made


def steps_table(results: dict[str, Any]) -> ReportTable:
    """One row per step."""
    columns = ["rate", "offered /s", "goodput /s", "not answered", *(f"{name}, ms" for name in PERCENTILES), "held"]
    rows = [
        [
            f"{round(step['rate'], 1):g}",
            format_number(step["offered_per_s"]),
            format_number(step["goodput_per_s"]),
            f"{1 - step['goodput_share']:.2%}",
            *(format_number(step["latency_ms"][name]) for name in PERCENTILES),
            ("yes" if step["held"] else "no") + (", client behind" if step["client_behind"] else ""),
        ]
        for step in results["steps"]
    ]
    profile = results["profile"]
    bounds = f"held: at least {profile['min_goodput']:.0%} answered, p99 at most {profile['max_p99_ms']:g} ms"
    return _table(f"Steps ({bounds})", columns, rows)


def facts(results: dict[str, Any]) -> list[tuple[str, str]]:
    """RequestWorkload, client, versions and machine."""
    parts = {name: results[name] for name in ("target", "workload", "clients", "versions", "client_machine")}
    return [(name.replace("_", " "), format_fields(part)) for name, part in parts.items()]


def _table(caption: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> ReportTable:
    return ReportTable(caption, columns, [text_row(*row) for row in rows])
