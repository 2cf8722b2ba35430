"""Secrets that must not be in a log, a span or a metric, and a capture of this process's log."""

import io
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from services.server.logging import configure_logging

USER = "ann-7f3e91"
WORD = "insulin"
TEXT = f"where to buy {WORD}"
TOKEN = "eyJ-9b27c4"  # noqa: S105 - opens nothing
PASSWORD = "pw-93ab7e"  # noqa: S105 - the same
SECRETS = (USER, WORD, TOKEN, PASSWORD)

SECRET_METADATA = (("authorization", f"Bearer {TOKEN}"), ("x-request-id", USER), ("crossrec-client", USER))
"""Metadata of a call, with secrets in it."""


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


def assert_private(stream: io.StringIO, *events: str, shown: Sequence[str] = ()) -> None:
    """Check that these events were logged, and that no secret is in the log or in the `shown` texts."""
    lines = stream.getvalue()
    for event in events:
        assert f'"event": "{event}"' in lines, lines
    for secret in SECRETS:
        assert not [text for text in (lines, *shown) if secret in text]
