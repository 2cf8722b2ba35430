"""What ends a process or a thread unexpectedly, as its log tells it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

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


@pytest.mark.parametrize(
    ("code", "event", "status"),
    [
        ("fail()", "process_failed", 1),
        ("worker = threading.Thread(target=fail, name='reader'); worker.start(); worker.join()", "thread_failed", 0),
        ("Failing()", "unraisable", 0),
        ("pipe, metrics = Pipe(), Pipe(); run_worker(pipe[0], metrics[0], fail)", "process_failed", 1),
    ],
)
def test_a_crash_is_one_private_line(code: str, event: str, status: int) -> None:
    """Where and what kind, in JSON; nothing of what the exception says."""
    command = [sys.executable, "-W", "ignore", "-c", START + code]
    run = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    (line,) = run.stderr.splitlines()
    logged = json.loads(line)
    assert (event, status) == (logged["event"], run.returncode)
    assert logged["traceback"].endswith("in fail\nValueError\n")
    assert not [secret for secret in (USER, WORD) if secret in run.stderr]
