"""Detached server processes: start one, identify it later, stop it.

A process is identified by pid *and* start time, so a reused pid is never taken for the server. Knows nothing of Kafka
or Valkey.
"""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from services.errors import InfraFailed

POLL_S = 0.05


@dataclass(frozen=True)
class ProcessRef:
    """One process, never a later one with the same pid."""

    pid: int
    started: str
    """Opaque start time, compared for equality only."""


@dataclass(frozen=True)
class _Probe:
    started: str
    zombie: bool


def spawn(argv: Sequence[str], log: Path) -> ProcessRef:
    """Start `argv` in its own session with its output in `log`; the previous log is kept as `<log>.1`.

    posix_spawn rather than subprocess: a Popen object warns when it is dropped while its process runs,
    and this process must outlive the caller.

    Raises:
        InfraFailed: The program cannot be executed.
    """
    if log.exists():
        log.replace(log.with_name(log.name + ".1"))
    append = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    try:
        pid = os.posix_spawn(
            argv[0],
            list(argv),
            os.environ,
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, str(log), append, 0o644),
                (os.POSIX_SPAWN_DUP2, 1, 2),
            ],
            setsid=True,
            # Python ignores SIGPIPE, and its threads may block signals; a server wants neither.
            setsigmask=(),
            setsigdef=(signal.SIGPIPE,),
        )
    except OSError as error:
        raise InfraFailed(f"cannot execute {argv[0]}: {error}") from error
    probe = _probe(pid)
    return ProcessRef(pid, probe.started if probe else "")


def is_alive(process: ProcessRef) -> bool:
    """Whether this very process still runs."""
    probe = _probe(process.pid)
    if probe is None or probe.started != process.started:
        return False
    if probe.zombie:
        # This command can reap it only if it started it; otherwise init does.
        with contextlib.suppress(ChildProcessError):
            os.waitpid(process.pid, os.WNOHANG)
        return False
    return True


def terminate(process: ProcessRef, grace_s: float) -> bool:
    """Stop the process: SIGTERM, and SIGKILL if it still runs after `grace_s` seconds.

    Returns:
        Whether it was running.

    Raises:
        InfraFailed: It survives SIGKILL.
    """
    if not is_alive(process):
        return False
    for number, wait_s in ((signal.SIGTERM, grace_s), (signal.SIGKILL, 5.0)):
        # It may end between the check and the signal.
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, number)
        if wait_until(lambda: not is_alive(process), wait_s):
            return True
    raise InfraFailed(f"process {process.pid} does not end, even after SIGKILL")


def wait_until(condition: Callable[[], bool], timeout_s: float) -> bool:
    """Poll `condition` until it holds; False when `timeout_s` seconds pass first."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_S)
    return True


def log_tail(log: Path, lines: int = 20) -> str:
    """The last lines of a log, for an error message."""
    if not log.exists():
        return "(no log)"
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:]) or "(empty log)"


def _probe(pid: int) -> _Probe | None:
    return _probe_proc(pid) if Path("/proc/self/stat").exists() else _probe_ps(pid)


def _probe_proc(pid: int) -> _Probe | None:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The second field, the program's name in parentheses, may itself hold blanks and parentheses.
    fields = stat.rpartition(")")[2].split()
    # Field 22 counts ticks since boot, so unlike wall time it survives a corrected clock.
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return _Probe(started=f"{boot}:{fields[19]}", zombie=fields[0] in "ZX")


def _probe_ps(pid: int) -> _Probe | None:
    argv = ["/bin/ps", "-o", "stat=,lstart=", "-p", str(pid)]
    out = subprocess.run(argv, capture_output=True, text=True, check=False, env={"LC_ALL": "C"}).stdout
    state, _, started = out.strip().partition(" ")
    return _Probe(started.strip(), zombie=state.startswith("Z")) if state else None
