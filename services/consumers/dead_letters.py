"""Records that can never be folded: where they go, and with what."""

import logging
from collections.abc import Sequence

from services.consumers.log import Output, Record
from services.runtime.logging import log_event

SUFFIX = "dead-letter"

_logger = logging.getLogger(__name__)


def dead_letter(prefix: str, record: Record, reason: str) -> Output:
    """The record as it was, with reason and position in its headers; own headers get the prefix `original-`."""
    headers = [
        ("reason", reason.encode()),
        ("topic", record.topic.encode()),
        ("partition", str(record.partition).encode()),
        ("offset", str(record.offset).encode()),
        *((f"original-{name}", value) for name, value in record.headers),
    ]
    return Output(f"{prefix}.{SUFFIX}", record.key, record.value, headers)


def log_dead_letters(topic: str, letters: Sequence[Output]) -> None:
    """One line per batch with dead letters: how many, and the first one's position; never their content."""
    if letters:
        headers = dict(letters[0].headers)
        place = f"{int(headers['partition'])}/{int(headers['offset'])}"
        log_event(_logger, "dead_letters", level=logging.WARNING, topic=topic, count=len(letters), first=place)
