"""Dead letters as consumers write them: the record that cannot be folded, its headers on the topic, the log line.

Whatever arrives on a topic can be set aside: a record that would not fit the dead-letter topic is cut, and its headers
say so; the whole of it is at its position as long as Kafka retains it.
"""

import logging
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

from services.kafka.record_source import Headers, OutputRecord, Record
from services.server.logging import log_event

ORIGINAL = "original-"
"""Prefix of the names of the record's own headers."""

CUT, SHA256 = "cut", "sha256"
"""Headers of a dead letter that holds a part of its record: sizes of the whole, and the hash of its value."""

MAX_BYTES = (2 * 1024 - 64) * 1024
"""Larger dead letters are cut: this fits the topic as `crossrec setup` makes it, and the largest record of another."""

SMALL_BYTES = 16 * 1024
"""Dead letters are cut to this size where Kafka does not take larger ones."""

_MAX_REASON_BYTES = 1024

_HEADER_BYTES = 10
"""Most bytes of the lengths of a header's name and value."""

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class DeadLetter:
    """A record that cannot be folded, and the reason, for people."""

    record: Record
    reason: str

    def output(self, topic: str, most_bytes: int = MAX_BYTES) -> OutputRecord:
        """The record for the dead-letter topic: reason and position in headers, own headers prefixed `original-`.

        A record of more than `most_bytes` is cut; the headers `cut` and `sha256` describe the whole.
        """
        record = self.record
        headers = [
            ("reason", self.reason.encode(errors="replace")[:_MAX_REASON_BYTES]),
            ("topic", record.topic.encode()),
            ("partition", str(record.partition).encode()),
            ("offset", str(record.offset).encode()),
        ]
        # Kafka accepts no record without key and value.
        key = b"" if record.key is None and record.value is None else record.key
        value, room = record.value, most_bytes - _size_of(headers)
        own = _original_headers(record.headers, room)
        if len(own) < len(record.headers) or _size_of(own) + len(key or b"") + len(value or b"") > room:
            headers += _describe_whole(record)
            # Most of what is kept is the value.
            own = _original_headers(record.headers, room // 8)
            key, value = key and key[: room // 8], value and value[: room // 2]
        return OutputRecord(topic, key, value, [*headers, *own])


def _describe_whole(record: Record) -> list[tuple[str, bytes]]:
    sizes = {
        "value": len(record.value or b""),
        "key": len(record.key or b""),
        "headers": sum(len(name.encode()) + len(value or b"") for name, value in record.headers),
    }
    text = ", ".join(f"{name} {size} bytes" for name, size in sizes.items())
    return [(CUT, text.encode()), (SHA256, sha256(record.value or b"").hexdigest().encode())]


def _original_headers(headers: Headers, room: int) -> list[tuple[str, bytes]]:
    """The record's first headers, as many as take `room` bytes, under their prefix."""
    kept: list[tuple[str, bytes]] = []
    for name, value in headers:
        header = (f"{ORIGINAL}{name}", value or b"")
        room -= _size_of([header])
        if room < 0:
            break
        kept.append(header)
    return kept


def _size_of(headers: Sequence[tuple[str, bytes]]) -> int:
    return sum(len(name.encode()) + len(value) + _HEADER_BYTES for name, value in headers)


def log_dead_letters(dead_letters: Sequence[DeadLetter]) -> None:
    """Log one line per batch: topic, count, and count per kind of reason; never a record's content."""
    if dead_letters:
        kinds = Counter(reason_kind(each.reason) for each in dead_letters)
        topic = dead_letters[0].record.topic
        log_event(
            _logger, "dead_letters", level=logging.WARNING, topic=topic, count=len(dead_letters), reasons=dict(kinds)
        )


def reason_kind(reason: str) -> str:
    """The part of a reason that quotes nothing from the record: the field, or the format that the value lacks."""
    return re.split(r"[\[:'\"\d]", reason, maxsplit=1)[0].strip()
