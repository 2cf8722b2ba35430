"""Measures and pins processes: CPU time, memory, cores.

Server and client run on separate cores: the server has one alone; client, Valkey and the rest share the other.
"""

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


def cpu_seconds(pid: int) -> float:
    """CPU time that a process has used, seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory_bytes(pid: int, name: str) -> int:
    """Memory of a process in bytes: VmRSS (current) or VmHWM (peak)."""
    lines = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return int(lines[name].split()[0]) * 1024


def tree_memory_bytes(pid: int) -> int:
    """Resident memory of a process and its children, bytes."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return memory_bytes(pid, "VmRSS") + sum(tree_memory_bytes(int(child)) for child in children)
