"""Dead letters as consumers write them: the record that cannot be folded, its headers on the topic, the log line."""

import logging
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from services.kafka.record_source import Headers, OutputRecord, Record
from services.server.logging import log_event

SUFFIX = "dead-letter"

ORIGINAL = "original-"
"""Prefix of the names of the record's own headers."""

MAX_ORIGINAL_HEADER_BYTES = 256 * 1024
"""Original headers beyond this size are dropped: many tiny ones would exceed the topic's largest message."""

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class DeadLetter:
    """A record that cannot be folded, and the reason, for people."""

    record: Record
    reason: str

    def output(self, topic: str) -> OutputRecord:
        """The record for the dead-letter topic: reason and position in headers, own headers prefixed `original-`."""
        record = self.record
        headers = [
            ("reason", self.reason.encode(errors="replace")),
            ("topic", record.topic.encode()),
            ("partition", str(record.partition).encode()),
            ("offset", str(record.offset).encode()),
            *_original_headers(record.headers),
        ]
        # Kafka accepts no record without key and value.
        key = b"" if record.key is None and record.value is None else record.key
        return OutputRecord(topic, key, record.value, headers)


def _original_headers(headers: Headers) -> list[tuple[str, bytes]]:
    kept: list[tuple[str, bytes]] = []
    size = 0
    for name, value in headers:
        size += len(name.encode()) + len(value or b"") + len(ORIGINAL)
        if size > MAX_ORIGINAL_HEADER_BYTES:
            break
        kept.append((f"{ORIGINAL}{name}", value or b""))
    return kept


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
