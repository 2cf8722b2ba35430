"""Dead letters as they are read back: what was wrong with which record, and whether it was replayed. Pure.

A letter's number is its offset on the dead-letter topic. That it was replayed stands in a marker: a record on the
same topic with the header `replay-of`, written in one transaction with what was sent. It outlives its letter.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from google.protobuf import json_format
from google.protobuf.message import DecodeError, Message

from crossrec.events.v1.activity_pb2 import ActivityDelta, ActivityDeltas
from services.consumers.dead_letters.record import ORIGINAL
from services.events.codec import BadRecord, decode
from services.kafka.record_source import OutputRecord

MARKER_KEY = b"replayed"
REPLAY_OF = "replay-of"

_HEX_COLUMNS = 16


@dataclass(frozen=True)
class ParsedDeadLetter:
    """A dead letter.

    Args:
        number: its offset on the dead-letter topic.
        time_s: when it was written, seconds since 1970.
        reason: why the record could not be folded.
        topic: where the record was.
        partition: there.
        offset: there.
        key: the record's key.
        value: the record's value.
        headers: the record's own headers.
    """

    number: int
    time_s: float
    reason: str
    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]


def parse_dead_letter(record: Any) -> ParsedDeadLetter:
    """The letter in a record of the dead-letter topic, as kafka-python gives it."""
    own = {name: value or b"" for name, value in record.headers if not name.startswith(ORIGINAL)}
    originals = [(name.removeprefix(ORIGINAL), value) for name, value in record.headers if name.startswith(ORIGINAL)]
    return ParsedDeadLetter(
        number=record.offset,
        time_s=record.timestamp / 1000,
        reason=_text(own.get("reason", b"")),
        topic=_text(own.get("topic", b"")),
        partition=int(own.get("partition", b"-1")),
        offset=int(own.get("offset", b"-1")),
        key=record.key,
        value=record.value,
        headers=originals,
    )


def replay_of(record: Any) -> int | None:
    """The number of the letter that a marker is about; None if the record is a letter."""
    # A letter's headers are its own four and originals under their prefix: nobody can slip a marker in.
    named = [value for name, value in record.headers if name == REPLAY_OF]
    return int(named[0]) if named else None


def marker(topic: str, number: int) -> OutputRecord:
    """The record that says that a letter was replayed."""
    return OutputRecord(topic, MARKER_KEY, None, [(REPLAY_OF, str(number).encode())])


def shown_value(letter: ParsedDeadLetter, activity_topic: str) -> tuple[str, str]:
    """What the value is, and the value as text: as far as it can be understood, else as a hex dump."""
    value = letter.value
    if value is None:
        return "null", ""
    message = _message(letter, value, activity_topic)
    if message is not None:
        return message.DESCRIPTOR.name, json_format.MessageToJson(message)
    try:
        return "JSON", json.dumps(json.loads(value), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        return "bytes", hex_dump(value)


def _message(letter: ParsedDeadLetter, value: bytes, activity_topic: str) -> Message | None:
    """The message in the value; None if there is none, or nothing in it that is known."""
    try:
        found = _deltas(value) if letter.topic == activity_topic else decode(value, letter.headers)
        return found if found.ListFields() and json_format.MessageToJson(found) else None
    except (BadRecord, DecodeError, ValueError, RecursionError, json_format.Error):
        return None


def _deltas(value: bytes) -> Message:
    """What a record of the activity topic holds: deltas, or in those of earlier versions a single one."""
    deltas = ActivityDeltas.FromString(value)
    return deltas if deltas.deltas else ActivityDelta.FromString(value)


def hex_dump(value: bytes) -> str:
    """Offset, bytes and what of them is ASCII, 16 a line."""
    lines = []
    for start in range(0, len(value), _HEX_COLUMNS):
        part = value[start : start + _HEX_COLUMNS]
        text = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in part)
        lines.append(f"{start:08x}  {part.hex(' '):<{_HEX_COLUMNS * 3}} {text}")
    return "\n".join(lines)


def printable(text: str) -> str:
    """The text without what a terminal would obey."""
    return "".join(
        character if character.isprintable() or character == "\n" else "\N{REPLACEMENT CHARACTER}" for character in text
    )


def _text(value: bytes) -> str:
    return value.decode(errors="replace")
