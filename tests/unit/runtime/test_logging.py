"""Log lines as machines read them."""

import io
import json
import logging
from collections.abc import Iterator

import pytest

from services.runtime.logging import configure_logging, log_event


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    root, services = logging.getLogger(), logging.getLogger("services")
    before = root.handlers[:], root.level, services.level
    stream = io.StringIO()
    configure_logging(stream=stream)
    yield stream
    root.handlers[:], root.level = before[0], before[1]
    services.setLevel(before[2])


def test_an_event_is_one_line_of_json(stream: io.StringIO) -> None:
    """Time, level, logger and event, then the event's fields; a line break in a field stays inside."""
    log_event(logging.getLogger("services.x"), "started", address="a\nb", port=1)
    (line,) = stream.getvalue().splitlines()
    entry = json.loads(line)
    assert entry.pop("time").endswith("+00:00")
    assert entry == {"level": "info", "logger": "services.x", "event": "started", "address": "a\nb", "port": 1}


def test_an_exception_comes_with_its_traceback(stream: io.StringIO) -> None:
    """The traceback is a field, so that it cannot be torn apart."""
    log_event(logging.getLogger("services.x"), "failed", level=logging.ERROR, exc_info=KeyError("k"))
    entry = json.loads(stream.getvalue())
    assert (entry["level"], entry["event"]) == ("error", "failed")
    assert "KeyError: 'k'" in entry["traceback"]


def test_libraries_are_heard_from_warning_on(stream: io.StringIO) -> None:
    """Their records are JSON too."""
    logging.getLogger("library").info("chatter")
    logging.getLogger("library").warning("lost %s", "broker")
    (line,) = stream.getvalue().splitlines()
    assert json.loads(line)["event"] == "lost broker"
