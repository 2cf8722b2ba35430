"""Locks of folders that one process at a time may use: who holds one is written in its file.

The kernel drops a lock when its holder ends, however it ends; the file stays. Knows nothing of what is in the folders.
"""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

from services.errors import CrossRecError


class FolderInUse(CrossRecError):
    """Another process uses the folder; the text names it."""


@contextmanager
def hold(lock: Path, folder: Path, purpose: str, report: Callable[[str], None] | None = None) -> Iterator[None]:
    """Hold the lock inside the block. Raises FolderInUse, naming the holder, if another process has it.

    Args:
        lock: the lock's file; it and its directory are created.
        folder: what it protects, for messages.
        purpose: what this process does there, for others' messages.
        report: called with the holder, once, before waiting for it; None: do not wait.
    """
    lock.parent.mkdir(parents=True, exist_ok=True)
    # To append: opening must not empty the file of a holder.
    with lock.open("a+", encoding="utf-8") as file:
        if not _try(file):
            holder = _holder(file)
            if report is None:
                raise FolderInUse(f"{folder} is in use by {holder}; wait until it ends, or choose another folder")
            report(f"waiting for {holder}, which uses {folder}")
            fcntl.flock(file, fcntl.LOCK_EX)
        since = datetime.now(UTC).isoformat(timespec="seconds")
        file.truncate(0)
        file.write(f"process {os.getpid()} ({purpose}) since {since}")
        file.flush()
        try:
            yield
        finally:
            file.truncate(0)


def _try(file: TextIO) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _holder(file: TextIO) -> str:
    file.seek(0)
    return file.read(200).strip() or "another process"
