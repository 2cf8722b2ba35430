"""Log lines, including those of uncaught exceptions."""

import io
import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.server.logging import JsonFormatter, configure_logging, log_event
from tests.contract.private import TEXT, USER, WORD

ROOT = Path(__file__).resolve().parents[3]
START = f"""
import threading
from multiprocessing import Pipe
from services.ranking.process.worker import run_worker
from services.server.logging import configure_logging
configure_logging()

def fail(*_):
    raise ValueError({f"{USER}: {TEXT}"!r})

class Failing:
    def __del__(self):
        fail()

"""


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    root, services = logging.getLogger(), logging.getLogger("services")
    before = root.handlers[:], root.level, services.level
    stream = io.StringIO()
    configure_logging(stream=stream)
    yield stream
    root.handlers[:], root.level = before[0], before[1]
    services.setLevel(before[2])


def chained_error() -> Exception:
    """An error caused by another one, with messages that the log must not hold."""
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
    """The traceback is one field of one line; it has the places and types of errors, without their messages."""
    log_event(logging.getLogger("services.x"), "failed", level=logging.ERROR, exc_info=chained_error())
    entry = json.loads(stream.getvalue())
    assert (entry["level"], entry["event"]) == ("error", "failed")
    lines = entry["traceback"].splitlines()
    assert ["KeyError", "ValueError"] == [line for line in lines if line.endswith("Error")]
    assert "in refuse" in entry["traceback"]
    assert "secret 1'" not in entry["traceback"]


def test_debugging_shows_exception_messages(stream: io.StringIO) -> None:
    """Messages may contain data."""
    configure_logging(logging.DEBUG, stream)
    log_event(logging.getLogger("services.x"), "failed", exc_info=chained_error())
    assert "KeyError: 'secret 1'" in json.loads(stream.getvalue())["traceback"]


def test_libraries_log_from_warning_on(stream: io.StringIO) -> None:
    """Their records are JSON too."""
    logging.getLogger("library").info("chatter")
    logging.getLogger("library").warning("lost %s", "broker")
    (line,) = stream.getvalue().splitlines()
    assert json.loads(line)["event"] == "lost broker"


@pytest.mark.parametrize(
    ("code", "event", "status"),
    [
        ("fail()", "process_failed", 1),
        ("worker = threading.Thread(target=fail, name='reader'); worker.start(); worker.join()", "thread_failed", 0),
        ("Failing()", "unraisable", 0),
        ("pipe, metrics = Pipe(), Pipe(); run_worker(pipe[0], metrics[0], fail)", "process_failed", 1),
    ],
)
def test_a_crash_is_logged_in_one_line_without_private_data(code: str, event: str, status: int) -> None:
    """JSON with the place and the type of the exception, without its message."""
    command = [sys.executable, "-W", "ignore", "-c", START + code]
    run = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    (line,) = run.stderr.splitlines()
    logged = json.loads(line)
    assert (event, status) == (logged["event"], run.returncode)
    assert logged["traceback"].endswith("in fail\nValueError\n")
    assert not [secret for secret in (USER, WORD) if secret in run.stderr]


def test_a_message_whose_arguments_cannot_be_formatted_is_a_line_without_them() -> None:
    """Like a connection of kafka-python that was closed in the meantime."""

    class Closed:
        def __str__(self) -> str:
            raise AttributeError("no socket")

    record = logging.makeLogRecord({"msg": "%s: lost", "args": (Closed(),)})
    line = json.loads(JsonFormatter().format(record))
    assert "%s: lost (arguments cannot be formatted: AttributeError)" == line["event"]
