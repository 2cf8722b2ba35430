"""CPU pinning of benchmarks: the server has one core alone; client, Valkey and the rest share the other."""

import os
from pathlib import Path

SERVER_CORE, CLIENT_CORE = 0, 1


def has_separate_cores() -> bool:
    """Whether both cores are available."""
    return {SERVER_CORE, CLIENT_CORE} <= os.sched_getaffinity(0)


def pin(pid: int, core: int) -> None:
    """Pin a process with all its threads to a core; threads that it starts later inherit this."""
    for thread in Path(f"/proc/{pid}/task").iterdir():
        os.sched_setaffinity(int(thread.name), {core})
