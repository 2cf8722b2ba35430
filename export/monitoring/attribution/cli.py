"""`crossrec attribution`: click rate, NDCG and calibration of served answers, per scenario, model and arm.

Knows flags and table layout; heavy imports are delayed until the command runs.
"""

import json
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table

from services.features.event_types import ENGAGEMENT_TYPES
from services.settings.terminal import open_console
from services.settings.times import utc_seconds

if TYPE_CHECKING:
    from export.monitoring.attribution.metrics import Estimate, GroupMetrics


def check_outcomes(chosen: list[str] | None) -> list[str] | None:
    """The event types chosen. Raises typer.BadParameter for one that is no engagement."""
    for name in chosen or ():
        if name not in ENGAGEMENT_TYPES:
            raise typer.BadParameter(f"{name}: choose one of {', '.join(ENGAGEMENT_TYPES)}")
    return chosen


def attribution_command(
    data: Annotated[str, typer.Option(help="Data set whose settings to use. Default: the current settings.")] = "",
    since: Annotated[datetime | None, typer.Option("--from", help="Start of the time window of answers (UTC).")] = None,
    until: Annotated[
        datetime | None,
        typer.Option(help="End of the time window of answers, exclusive (UTC); outcomes may come later."),
    ] = None,
    outcome: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TYPE",
            callback=check_outcomes,
            help=f"Event type that counts as a click: {', '.join(ENGAGEMENT_TYPES)}; may be repeated. Default: click.",
        ),
    ] = None,
    k: Annotated[int, typer.Option("--k", min=1, help="Length of the list for NDCG.")] = 10,
    resamples: Annotated[int, typer.Option(min=40, help="Bootstrap resamples of the users.")] = 1000,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the metrics as JSON to this file.")] = None,
) -> None:
    """Join events that carry an attribution token to the answers of the served log (served_log.share).

    Prints per scenario, model and arm: answers, impressions, clicks and their rate, NDCG@k, and calibration (mean
    predicted probability and expected calibration error).
    """
    from export.monitoring.attribution.join import join_events
    from export.monitoring.attribution.metrics import measure_groups, to_dicts
    from export.monitoring.served_log import read_answers, read_behaviour
    from services.settings.load import load_settings

    console, settings = open_console(highlight=False), load_settings(data)
    from_s, until_s = utc_seconds(since) if since else 0.0, utc_seconds(until) if until else float("inf")
    behaviour = read_behaviour(settings, from_s)
    answers = read_answers(settings, from_s, until_s, behaviour.erased_s)
    shown = join_events(answers.records, behaviour.events, set(outcome or ["click"]))
    lines = measure_groups(shown, k, resamples)
    left_out = {"erased users": answers.erased, "unreadable": answers.unreadable}
    if json_file:
        json_file.parent.mkdir(parents=True, exist_ok=True)
        written = {
            "k": k,
            "groups": to_dicts(lines),
            "unmatched_events": shown.unmatched,
            "answers_left_out": left_out,
        }
        json_file.write_text(json.dumps(written, indent=2) + "\n")
    console.print(_table(lines, k))
    for what, counts in (("events without an answer", shown.unmatched), ("answers left out", left_out)):
        if text := ", ".join(f"{name} {count:,}" for name, count in counts.items() if count):
            console.print(f"{what}: {text}")


def _table(lines: "list[GroupMetrics]", k: int) -> Table:
    table = Table(box=SIMPLE_HEAD, caption="95 % intervals by resampling users", caption_justify="left")
    for name in ("scenario", "model", "arm"):
        table.add_column(name)
    for name in ("answers", "impressions", "clicks", "CTR", f"NDCG@{k}", "predicted", "ECE"):
        table.add_column(name, justify="right")
    for line in lines:
        counts = (f"{count:,}" for count in (line.answers, line.impressions, line.clicks))
        predicted = "-" if line.predicted is None else f"{line.predicted:.4f}"
        names = (line.scenario or "all", line.model, line.arm)
        table.add_row(
            *names,
            *counts,
            _format_estimate(line.ctr),
            _format_estimate(line.ndcg),
            predicted,
            _format_estimate(line.ece),
        )
    return table


def _format_estimate(estimate: "Estimate") -> str:
    if estimate.value is None:
        return "-"
    if estimate.low is None:
        return f"{estimate.value:.4f}"
    return f"{estimate.value:.4f}\n[dim]{estimate.low:.4f}-{estimate.high:.4f}[/dim]"
