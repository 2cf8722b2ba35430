"""Records that can never be folded: where they go, with what, and what is logged about them."""

import logging
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from services.kafka.record_source import Headers, OutputRecord, Record
from services.server.logging import log_event

SUFFIX = "dead-letter"

ORIGINAL = "original-"
"""Stands before the names of the record's own headers."""

MAX_ORIGINAL_HEADER_BYTES = 256 * 1024
"""Original headers beyond it are left out: many tiny ones would outgrow what the topic takes."""

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class DeadLetter:
    """A record and why it cannot be folded, for people."""

    record: Record
    reason: str

    def output(self, topic: str) -> OutputRecord:
        """The record as it was, with reason and position in its headers; own headers get the prefix `original-`."""
        record = self.record
        headers = [
            ("reason", self.reason.encode(errors="replace")),
            ("topic", record.topic.encode()),
            ("partition", str(record.partition).encode()),
            ("offset", str(record.offset).encode()),
            *_originals(record.headers),
        ]
        # Kafka takes no record that has neither key nor value.
        key = b"" if record.key is None and record.value is None else record.key
        return OutputRecord(topic, key, record.value, headers)


def _originals(headers: Headers) -> list[tuple[str, bytes]]:
    kept: list[tuple[str, bytes]] = []
    size = 0
    for name, value in headers:
        size += len(name.encode()) + len(value or b"") + len(ORIGINAL)
        if size > MAX_ORIGINAL_HEADER_BYTES:
            break
        kept.append((f"{ORIGINAL}{name}", value or b""))
    return kept


def log_dead_letters(letters: Sequence[DeadLetter]) -> None:
    """One line per batch: topic, how many, and how many of which kind; never a record's content."""
    if letters:
        kinds = Counter(kind_of(letter.reason) for letter in letters)
        topic = letters[0].record.topic
        log_event(_logger, "dead_letters", level=logging.WARNING, topic=topic, count=len(letters), reasons=dict(kinds))


def kind_of(reason: str) -> str:
    """The part of a reason that quotes nothing from the record: the field, or what the value is not."""
    return re.split(r"[\[:'\"\d]", reason, maxsplit=1)[0].strip()
