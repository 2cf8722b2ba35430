"""Runs commands of `crossrec` one after another, each in a fork of one process that has loaded their packages.

To start Python with Feast and torch takes seconds per command. Reads a JSON list of cases from standard input and
writes a JSON list of outcomes: see `Case` and `Outcome`. Run as a module.
"""

import fcntl
import importlib
import json
import os
import resource
import signal
import sys
import time
import traceback
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

LONGEST_S = 300.0
MOST_BYTES = 1 << 20
AT_ONCE = 3


@dataclass(frozen=True)
class Case:
    """A command in its surroundings.

    Args:
        arguments: of `crossrec`.
        environment: variables, besides those of this process.
        file_bytes: largest file that the command can write, as on a disk that is full; None: any.
        stdout: file for standard output; "": it is kept; "closed": there is none.
    """

    arguments: list[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    file_bytes: int | None = None
    stdout: str = ""


@dataclass(frozen=True)
class Outcome:
    """What a command did: its exit status (-1: it was still running after LONGEST_S), what it printed, seconds."""

    status: int
    out: str
    err: str
    took_s: float


@dataclass
class _Running:
    child: int
    begun_s: float
    pipes: tuple[tuple[int, int], tuple[int, int]]


def run_all(cases: list[Case]) -> list[Outcome]:
    """Run the cases in forks, AT_ONCE at a time, since some wait; the outcomes are in the order of the cases."""
    waiting, running, outcomes = list(enumerate(cases)), dict[int, _Running](), dict[int, Outcome]()
    while waiting or running:
        while waiting and len(running) < AT_ONCE:
            number, case = waiting.pop(0)
            running[number] = _start(case)
        time.sleep(0.02)
        for number, process in list(running.items()):
            if (outcome := _poll(process)) is not None:
                outcomes[number] = outcome
                del running[number]
    return [outcomes[number] for number in range(len(cases))]


def _start(case: Case) -> _Running:
    # Pipes, since the limit of a case is on files.
    pipes = _pipe(), _pipe()
    begun_s = time.monotonic()
    child = os.fork()
    if not child:
        _become(case, pipes[0][1], pipes[1][1])
    return _Running(child, begun_s, pipes)


def _poll(process: _Running) -> Outcome | None:
    """The outcome of a process that has ended, or was killed because it took too long."""
    took_s = time.monotonic() - process.begun_s
    ended, status = os.waitpid(process.child, os.WNOHANG)
    if not ended:
        if took_s < LONGEST_S:
            return None
        os.kill(process.child, signal.SIGKILL)
        os.waitpid(process.child, 0)
    out, err = (_read(*pipe) for pipe in process.pipes)
    return Outcome(os.waitstatus_to_exitcode(status) if ended else -1, out, err, round(took_s, 1))


def _pipe() -> tuple[int, int]:
    ends = os.pipe()
    fcntl.fcntl(ends[1], fcntl.F_SETPIPE_SZ, MOST_BYTES)
    return ends


def _read(reader: int, writer: int) -> str:
    os.close(writer)
    os.set_blocking(reader, False)
    printed = b""
    with suppress(BlockingIOError):  # of a process that the command left
        while part := os.read(reader, MOST_BYTES):
            printed += part
    os.close(reader)
    return printed.decode(errors="replace")


def _become(case: Case, out: int, err: int) -> None:
    """Be the command, and end with its exit status."""
    code = 1
    try:
        os.dup2(err, 2)
        os.dup2(os.open(case.stdout, os.O_WRONLY) if case.stdout.startswith("/") else out, 1)
        os.environ.update(case.environment)
        if case.stdout == "closed":
            os.close(1)
            sys.stdout = None  # as Python starts without it
        if case.file_bytes is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (case.file_bytes, case.file_bytes))
        sys.argv = ["crossrec", *case.arguments]
        from services.main import main

        try:
            main()
            code = 0
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else int(bool(ended.code))
    except BaseException:
        traceback.print_exc()
    finally:
        with suppress(OSError, AttributeError):
            sys.stdout.flush()
        with suppress(OSError):
            sys.stderr.flush()
        os._exit(code)


def load_packages() -> None:
    """Import what the commands import, and let them wait less for a Kafka that is not there."""
    import services.kafka.connection

    services.kafka.connection.WAIT_S = 0.5
    from services.commands import COMMANDS, load_command

    for command in COMMANDS.values():
        load_command(command)
    for module in ("export.demo.main", "export.training.run", "services.store.connect", "services.users.export"):
        importlib.import_module(module)


if __name__ == "__main__":
    load_packages()
    given = [Case(**case) for case in json.loads(Path("/dev/stdin").read_text())]
    sys.stdout.write(json.dumps([asdict(outcome) for outcome in run_all(given)]))
