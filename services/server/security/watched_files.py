"""Content of files that is read again when they change. A broken file changes nothing and is logged once.

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

CHECK_INTERVAL_S = 1.0
"""Seconds between checks of files whose content every call needs."""

T = TypeVar("T")

_logger = logging.getLogger(__name__)


class WatchedFiles(Generic[T]):
    """The content of files that are replaced while the process runs. Safe between threads.

    Args:
        what: what the files are, for the log.
        paths: the files.
        read: reads their content; ConfigurationError if they cannot be used.
        check_interval_s: seconds between checks whether the files changed; 0: at every call.
        clock_s: monotonic seconds.
    """

    def __init__(
        self,
        what: str,
        paths: Sequence[Path],
        read: Callable[[], T],
        check_interval_s: float = CHECK_INTERVAL_S,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._what, self._paths, self._read = what, paths, read
        self._look_s, self._clock_s = check_interval_s, clock_s
        self._lock = threading.Lock()
        self._last_stamps = _stamps(paths)
        self._content = read()
        self._next_s = clock_s() + check_interval_s

    def current(self) -> T:
        """The content; a new object whenever it was read again. Raises nothing."""
        if self._clock_s() >= self._next_s:
            with self._lock:
                self._next_s = self._clock_s() + self._look_s
                self._reload_if_changed()
        return self._content

    def _reload_if_changed(self) -> None:
        stamps = _stamps(self._paths)
        if stamps == self._last_stamps:
            return
        self._last_stamps = stamps
        try:
            self._content = self._read()
        except ConfigurationError as error:
            log_event(_logger, f"{self._what}_not_reloaded", level=logging.ERROR, error=str(error))
        else:
            log_event(_logger, f"{self._what}_reloaded")


def _stamps(paths: Sequence[Path]) -> list[tuple[int, ...] | None]:
    """Per path, values that change when the file is written or replaced."""
    return [_stamp(path) for path in paths]


def _stamp(path: Path) -> tuple[int, ...] | None:
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_ctime_ns, stat.st_size, stat.st_ino
