"""A user id and a text that nobody may find in a log, and everything that this process logs."""

import io
import logging
from collections.abc import Iterator
from contextlib import contextmanager

from services.runtime.logging import configure_logging

USER = "ann-7f3e91"
WORD = "insulin"
TEXT = f"where to buy {WORD}"


@contextmanager
def logs() -> Iterator[io.StringIO]:
    """The log lines of this process, at the default level."""
    root, services = logging.getLogger(), logging.getLogger("services")
    before = root.handlers[:], root.level, services.level
    stream = io.StringIO()
    configure_logging(stream=stream)
    try:
        yield stream
    finally:
        root.handlers[:] = before[0]
        root.setLevel(before[1])
        services.setLevel(before[2])


def assert_private(stream: io.StringIO, *events: str) -> None:
    """These events were logged, and neither the user nor the text is in any line."""
    lines = stream.getvalue()
    for event in events:
        assert f'"event": "{event}"' in lines, lines
    for secret in (USER, WORD):
        assert secret not in lines
