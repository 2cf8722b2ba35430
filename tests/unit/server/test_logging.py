"""Log lines as machines read them."""

import io
import json
import logging
from collections.abc import Iterator

import pytest

from services.server.logging import configure_logging, log_event


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    root, services = logging.getLogger(), logging.getLogger("services")
    before = root.handlers[:], root.level, services.level
    stream = io.StringIO()
    configure_logging(stream=stream)
    yield stream
    root.handlers[:], root.level = before[0], before[1]
    services.setLevel(before[2])


def caught() -> Exception:
    """An error caused by another one, with words that nobody must read."""
    try:
        refuse("secret 1")
    except ValueError as error:
        return error
    raise AssertionError


def refuse(words: str) -> None:
    try:
        {}[words]
    except KeyError as error:
        raise ValueError(words) from error


def test_an_event_is_one_line_of_json(stream: io.StringIO) -> None:
    """Time, level, logger and event, then the event's fields; a line break in a field stays inside."""
    log_event(logging.getLogger("services.x"), "started", address="a\nb", port=1)
    (line,) = stream.getvalue().splitlines()
    entry = json.loads(line)
    assert entry.pop("time").endswith("+00:00")
    assert entry == {"level": "info", "logger": "services.x", "event": "started", "address": "a\nb", "port": 1}


def test_an_exception_comes_with_its_traceback(stream: io.StringIO) -> None:
    """The traceback is a field, so that it cannot be torn apart; it says what failed where, not with which words."""
    log_event(logging.getLogger("services.x"), "failed", level=logging.ERROR, exc_info=caught())
    entry = json.loads(stream.getvalue())
    assert (entry["level"], entry["event"]) == ("error", "failed")
    lines = entry["traceback"].splitlines()
    assert ["KeyError", "ValueError"] == [line for line in lines if line.endswith("Error")]
    assert "in refuse" in entry["traceback"]
    assert "secret 1'" not in entry["traceback"]


def test_debugging_shows_what_exceptions_say(stream: io.StringIO) -> None:
    """Who turns it on sees data, too."""
    configure_logging(logging.DEBUG, stream)
    log_event(logging.getLogger("services.x"), "failed", exc_info=caught())
    assert "KeyError: 'secret 1'" in json.loads(stream.getvalue())["traceback"]


def test_libraries_are_heard_from_warning_on(stream: io.StringIO) -> None:
    """Their records are JSON too."""
    logging.getLogger("library").info("chatter")
    logging.getLogger("library").warning("lost %s", "broker")
    (line,) = stream.getvalue().splitlines()
    assert json.loads(line)["event"] == "lost broker"
