"""Which core benchmarks give to whom: a server has one of its own, client, Valkey and the rest share the other."""

import os
from pathlib import Path

SERVER_CORE, CLIENT_CORE = 0, 1


def apart() -> bool:
    """Whether there are cores enough."""
    return {SERVER_CORE, CLIENT_CORE} <= os.sched_getaffinity(0)


def pin(pid: int, core: int) -> None:
    """Keep a process, with all threads that it has, on a core; those that it starts later follow."""
    for thread in Path(f"/proc/{pid}/task").iterdir():
        os.sched_setaffinity(int(thread.name), {core})
