"""`crossrec dead-letters ...`: see what could not be folded and why, repair it, send it again."""

import json
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from services.settings.load import load_settings
from services.settings.times import utc_seconds

if TYPE_CHECKING:
    from services.consumers.dead_letters.replay import Repair
    from services.consumers.dead_letters.topic import ListedDeadLetter

dead_letters_app = typer.Typer(
    no_args_is_help=True, help="See records that could not be folded and why; send them again, repaired if need be."
)

Number = Annotated[int, typer.Argument(help="The letter's number, as `list` shows it.", min=0)]


@dead_letters_app.command("list")
def list_command(
    topic: Annotated[str, typer.Option(help="Only of this topic: behavior, items, ..., or its full name.")] = "",
    since: Annotated[datetime | None, typer.Option(help="Only from this time on (UTC).")] = None,
    limit: Annotated[int, typer.Option(help="Most letters shown, the newest.", min=1)] = 50,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """List dead letters, oldest first. Reasons may quote what producers wrote."""
    from services.consumers.dead_letters.topic import list_dead_letters
    from services.events.routing import topic_name

    settings = load_settings()
    names = {topic, topic_name(settings.kafka.topic_prefix, topic)}
    since_s = utc_seconds(since) if since else 0.0
    letters = list_dead_letters(settings, lambda letter: not topic or letter.topic in names, since_s, limit)
    if as_json:
        typer.echo(json.dumps([_as_json(listed) for listed in letters], indent=2))
    else:
        Console().print(_table(letters))


@dead_letters_app.command()
def show(number: Number) -> None:
    """Show a dead letter: reason, where the record was, its key, headers, and its value as far as it can be read."""
    from services.consumers.dead_letters.parse import printable, shown_value
    from services.consumers.dead_letters.topic import read_dead_letter
    from services.events.routing import topic_name

    settings = load_settings()
    letter = read_dead_letter(settings, number)
    form, value = shown_value(letter, topic_name(settings.kafka.topic_prefix, "activity"))
    lines = [
        f"number     {letter.number}",
        f"when       {_time(letter.time_s)}",
        f"reason     {letter.reason}",
        f"record     {letter.topic} partition {letter.partition} offset {letter.offset}",
        f"key        {_bytes(letter.key)}",
        *(f"header     {name}: {_bytes(content)}" for name, content in letter.headers),
        f"value      {form}, {len(letter.value or b'')} bytes",
        value,
    ]
    for line in lines:
        typer.echo(printable(line))


@dead_letters_app.command()
def replay(
    numbers: Annotated[list[int], typer.Argument(help="The letters' numbers, as `list` shows them.")],
    edit: Annotated[
        Path | None, typer.Option(help="Send this Entry in protobuf JSON instead.", exists=True, dir_okay=False)
    ] = None,
    value: Annotated[
        Path | None, typer.Option(help="Send the bytes of this file as the value instead.", exists=True, dir_okay=False)
    ] = None,
    again: Annotated[bool, typer.Option(help="Send also what was replayed before.")] = False,
) -> None:
    """Send dead letters back to their topics, all or none: key, value and headers as they were, or a repaired value.

    A repaired value is judged as the consumer will judge it, and sent under the key of what it holds.
    """
    from services.consumers.dead_letters.replay import replay as replay_letters

    repair = _repair(edit, value)
    if repair and len(set(numbers)) != 1:
        raise typer.BadParameter("a repaired value is for one letter", param_hint="NUMBERS")
    for sent in replay_letters(load_settings(), numbers, repair, again):
        typer.echo(f"dead letter {sent.number} sent to {sent.topic} partition {sent.partition} offset {sent.offset}")


def _repair(edit: Path | None, value: Path | None) -> "Repair | None":
    from services.consumers.dead_letters.replay import Repair

    if edit and value:
        raise typer.BadParameter("give one of --edit and --value", param_hint="--edit")
    if edit:
        return Repair("entry", edit.read_bytes())
    return Repair("value", value.read_bytes()) if value else None


def _table(letters: "list[ListedDeadLetter]") -> Table:
    from rich.text import Text

    from services.consumers.dead_letters.parse import printable

    table = Table("number", "when", "record", "reason", "size", "replayed")
    for listed in letters:
        letter = listed.letter
        place = f"{letter.topic}/{letter.partition}/{letter.offset}"
        replayed = _time(listed.replayed_s) if listed.replayed_s else ""
        cells = (str(letter.number), _time(letter.time_s), place, letter.reason, f"{listed.size:,}", replayed)
        table.add_row(*(Text(printable(cell)) for cell in cells))
    return table


def _as_json(listed: "ListedDeadLetter") -> dict[str, object]:
    letter = asdict(listed.letter)
    kept = {name: letter[name] for name in ("number", "reason", "topic", "partition", "offset")}
    replayed = _time(listed.replayed_s) if listed.replayed_s else None
    return {**kept, "time": _time(listed.letter.time_s), "size": listed.size, "replayed": replayed}


def _bytes(value: bytes | None) -> str:
    return "null" if value is None else repr(value)[1:]


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
