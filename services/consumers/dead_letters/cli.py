"""`crossrec dead-letters list|show|replay`: records that could not be folded, the reasons, repair and replay."""

import json
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from services.settings.load import load_settings
from services.settings.terminal import open_console
from services.settings.times import utc_seconds

if TYPE_CHECKING:
    from services.consumers.dead_letters.replay import Repair
    from services.consumers.dead_letters.topic import ListedDeadLetter

dead_letters_app = typer.Typer(
    no_args_is_help=True,
    help="List records that could not be folded, with the reasons; repair and replay them.",
)

Number = Annotated[int, typer.Argument(help="The dead letter's number, as `list` shows it.", min=0)]


@dead_letters_app.command("list")
def list_command(
    topic: Annotated[str, typer.Option(help="Only of this topic: behavior, items, ..., or its full name.")] = "",
    since: Annotated[datetime | None, typer.Option(help="Only from this time on (UTC).")] = None,
    limit: Annotated[int, typer.Option(help="Most dead letters shown, the newest.", min=1)] = 50,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """List dead letters, oldest first. Reasons may quote what producers wrote."""
    from services.consumers.dead_letters.topic import list_dead_letters
    from services.events.routing import topic_name

    settings = load_settings()
    names = {topic, topic_name(settings.kafka.topic_prefix, topic)}
    since_s = utc_seconds(since) if since else 0.0
    found = list_dead_letters(settings, lambda each: not topic or each.topic in names, since_s, limit)
    if as_json:
        typer.echo(json.dumps([_as_json(listed) for listed in found], indent=2))
    else:
        open_console().print(_table(found))


@dead_letters_app.command()
def show(number: Number) -> None:
    """Show a dead letter: reason, position of the record, its key, headers, and value (a hex dump if not parsable)."""
    from services.consumers.dead_letters.parse import format_value, printable
    from services.consumers.dead_letters.topic import read_dead_letter
    from services.events.routing import topic_name

    settings = load_settings()
    found = read_dead_letter(settings, number)
    form, value = format_value(found, topic_name(settings.kafka.topic_prefix, "activity"))
    lines = [
        f"number     {found.number}",
        f"when       {_time(found.time_s)}",
        f"reason     {found.reason}",
        f"record     {found.topic} partition {found.partition} offset {found.offset}",
        f"key        {_bytes(found.key)}",
        *(f"header     {name}: {_bytes(content)}" for name, content in found.headers),
        *([f"cut        the whole has {found.cut}"] if found.cut else []),
        f"value      {form}, {len(found.value or b'')} bytes",
        value,
    ]
    for line in lines:
        typer.echo(printable(line))


@dead_letters_app.command()
def replay(
    numbers: Annotated[list[int], typer.Argument(help="The dead letters' numbers, as `list` shows them.")],
    edit: Annotated[
        Path | None, typer.Option(help="Send this Entry in protobuf JSON instead.", exists=True, dir_okay=False)
    ] = None,
    value: Annotated[
        Path | None, typer.Option(help="Send the bytes of this file as the value instead.", exists=True, dir_okay=False)
    ] = None,
    again: Annotated[bool, typer.Option(help="Also replay dead letters that were replayed before.")] = False,
) -> None:
    """Send dead letters back to their topics, all or none: key, value and headers as they were, or a repaired value.

    A repaired value is validated as the consumer will validate it, and sent under the key of its entry.
    """
    from services.consumers.dead_letters.replay import replay as replay_dead_letters

    repair = _repair(edit, value)
    if repair and len(set(numbers)) != 1:
        raise typer.BadParameter("a repaired value needs exactly one number", param_hint="NUMBERS")
    for sent in replay_dead_letters(load_settings(), numbers, repair, again):
        typer.echo(f"dead letter {sent.number} sent to {sent.topic} partition {sent.partition} offset {sent.offset}")


def _repair(edit: Path | None, value: Path | None) -> "Repair | None":
    from services.consumers.dead_letters.replay import Repair

    if edit and value:
        raise typer.BadParameter("give one of --edit and --value", param_hint="--edit")
    if edit:
        return Repair("entry", edit.read_bytes())
    return Repair("value", value.read_bytes()) if value else None


def _table(dead_letters: "list[ListedDeadLetter]") -> Table:
    from rich.text import Text

    from services.consumers.dead_letters.parse import printable

    table = Table("number", "when", "record", "reason", "size", "replayed")
    for listed in dead_letters:
        found = listed.dead_letter
        position = f"{found.topic}/{found.partition}/{found.offset}"
        replayed = _time(listed.replayed_s) if listed.replayed_s else ""
        cells = (str(found.number), _time(found.time_s), position, found.reason, f"{listed.size:,}", replayed)
        table.add_row(*(Text(printable(cell)) for cell in cells))
    return table


def _as_json(listed: "ListedDeadLetter") -> dict[str, object]:
    fields = asdict(listed.dead_letter)
    kept = {name: fields[name] for name in ("number", "reason", "topic", "partition", "offset")}
    replayed = _time(listed.replayed_s) if listed.replayed_s else None
    return {**kept, "time": _time(listed.dead_letter.time_s), "size": listed.size, "replayed": replayed}


def _bytes(value: bytes | None) -> str:
    return "null" if value is None else repr(value)[1:]


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
