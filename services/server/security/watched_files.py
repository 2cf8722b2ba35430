"""What a file or several say, read again when they change. A broken one changes nothing, and is logged once.

Knows nothing of what the files hold.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Generic, TypeVar

from services.errors import ConfigurationError
from services.server.logging import log_event

LOOK_S = 1.0
"""Seconds between looks at files that are asked for with every call."""

T = TypeVar("T")

_logger = logging.getLogger(__name__)


class Watched(Generic[T]):
    """The content of files that are replaced while the process runs. Safe between threads.

    Args:
        what: what the files are, for the log.
        paths: the files.
        read: makes the content of them; ConfigurationError if they cannot be used.
        look_s: seconds for which nobody looks whether they changed; 0: everybody does.
        clock_s: monotonic seconds.
    """

    def __init__(
        self,
        what: str,
        paths: Sequence[Path],
        read: Callable[[], T],
        look_s: float = LOOK_S,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._what, self._paths, self._read = what, paths, read
        self._look_s, self._clock_s = look_s, clock_s
        self._lock = threading.Lock()
        self._state = _state(paths)
        self._content = read()
        self._next_s = clock_s() + look_s

    def current(self) -> T:
        """The content; another object whenever it was read again. Raises nothing."""
        if self._clock_s() >= self._next_s:
            with self._lock:
                self._next_s = self._clock_s() + self._look_s
                self._look()
        return self._content

    def _look(self) -> None:
        state = _state(self._paths)
        if state == self._state:
            return
        self._state = state
        try:
            self._content = self._read()
        except ConfigurationError as error:
            log_event(_logger, f"{self._what}_not_reloaded", level=logging.ERROR, error=str(error))
        else:
            log_event(_logger, f"{self._what}_reloaded")


def _state(paths: Sequence[Path]) -> list[tuple[int, ...] | None]:
    """What differs when a file was written or replaced, by path."""
    return [_one_state(path) for path in paths]


def _one_state(path: Path) -> tuple[int, ...] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino
