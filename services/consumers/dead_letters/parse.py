"""Parsing of records of the dead-letter topic: the failed record, the reason, and replay markers. Pure.

A dead letter's number is its offset on the dead-letter topic. A replay is recorded by a marker: a record on the same
topic with the header `replay-of`, written in one transaction with the replayed record. Being newer, it expires later.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from google.protobuf import json_format
from google.protobuf.message import DecodeError, Message

from crossrec.events.v1.activity_pb2 import ActivityDeltas
from services.consumers.dead_letters.record import CUT, ORIGINAL
from services.events.codec import BadRecord, decode
from services.kafka.record_source import OutputRecord, Record

MARKER_KEY = b"replayed"
REPLAY_OF = "replay-of"

_HEX_COLUMNS = 16


@dataclass(frozen=True)
class ParsedDeadLetter:
    """A dead letter as it is read back.

    Args:
        number: its offset on the dead-letter topic.
        time_s: when it was written, seconds since 1970.
        reason: why the record could not be folded.
        topic: topic of the failed record.
        partition: its partition.
        offset: its offset.
        key: the record's key.
        value: the record's value.
        headers: the record's own headers.
        cut: sizes of the whole record if this is only a part of it, for people; else empty.
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
    cut: str = ""


def parse_dead_letter(record: Record) -> ParsedDeadLetter:
    """The dead letter in a record of the dead-letter topic."""
    own = {name: value or b"" for name, value in record.headers if not name.startswith(ORIGINAL)}
    originals = [
        (name.removeprefix(ORIGINAL), value or b"") for name, value in record.headers if name.startswith(ORIGINAL)
    ]
    return ParsedDeadLetter(
        number=record.offset,
        time_s=record.time_s,
        reason=_text(own.get("reason", b"")),
        topic=_text(own.get("topic", b"")),
        partition=_number(own.get("partition", b"")),
        offset=_number(own.get("offset", b"")),
        key=record.key,
        value=record.value,
        headers=originals,
        cut=_text(own.get(CUT, b"")),
    )


def replayed_number(record: Record) -> int | None:
    """The number of the dead letter that a replay marker names; None if the record is a dead letter."""
    # A dead letter has its own four headers and prefixed originals, so producers cannot forge a marker.
    named = [value for name, value in record.headers if name == REPLAY_OF]
    return _number(named[0] or b"") if named else None


def replay_marker(topic: str, number: int) -> OutputRecord:
    """The record that marks a dead letter as replayed."""
    return OutputRecord(topic, MARKER_KEY, None, [(REPLAY_OF, str(number).encode())])


def format_value(dead_letter: ParsedDeadLetter, activity_topic: str) -> tuple[str, str]:
    """The value's format, and the value as text: a message or JSON if it can be parsed, else a hex dump."""
    value = dead_letter.value
    if value is None:
        return "null", ""
    message = _parse_message(dead_letter, value, activity_topic)
    if message is not None:
        return message.DESCRIPTOR.name, json_format.MessageToJson(message)
    try:
        return "JSON", json.dumps(json.loads(value), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        return "bytes", hex_dump(value)


def _parse_message(dead_letter: ParsedDeadLetter, value: bytes, activity_topic: str) -> Message | None:
    """The message in the value; None if there is none, or no field of it is known."""
    try:
        is_activity = dead_letter.topic == activity_topic
        found = ActivityDeltas.FromString(value) if is_activity else decode(value, dead_letter.headers)
        return found if found.ListFields() and json_format.MessageToJson(found) else None
    except (BadRecord, DecodeError, ValueError, RecursionError, json_format.Error):
        return None


def hex_dump(value: bytes) -> str:
    """Offset, bytes in hex and as ASCII, 16 bytes per line."""
    lines = []
    for start in range(0, len(value), _HEX_COLUMNS):
        part = value[start : start + _HEX_COLUMNS]
        text = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in part)
        lines.append(f"{start:08x}  {part.hex(' '):<{_HEX_COLUMNS * 3}} {text}")
    return "\n".join(lines)


def printable(text: str) -> str:
    """The text with control characters replaced, so that a terminal executes none."""
    return "".join(
        character if character.isprintable() or character == "\n" else "\N{REPLACEMENT CHARACTER}" for character in text
    )


def _number(value: bytes) -> int:
    """A number in decimal; -1 for anything else, which no consumer has written."""
    return int(value) if value.isdigit() and len(value) < 20 else -1


def _text(value: bytes) -> str:
    return value.decode(errors="replace")
