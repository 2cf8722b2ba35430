"""What ends a process or a thread unexpectedly, in the log: as privately as everything there, and in one line.

Python's own reports quote what exceptions say, and with it perhaps who was asked for.
"""

import logging
import sys
import threading
from types import TracebackType
from typing import Any

from services.server.logging import log_event

_logger = logging.getLogger(__name__)


def report_crashes() -> None:
    """Have the log of this process tell of uncaught exceptions, also of threads and of finalisers."""
    sys.excepthook = _process_failed
    threading.excepthook = _thread_failed
    sys.unraisablehook = _unraisable


def report_crash(error: BaseException) -> None:
    """Tell that `error` ends the process."""
    log_event(_logger, "process_failed", level=logging.CRITICAL, exc_info=error)


def _process_failed(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, Exception):
        report_crash(error.with_traceback(trace))
    else:  # Ctrl-C: has nothing to tell of anybody
        sys.__excepthook__(kind, error, trace)


def _thread_failed(args: threading.ExceptHookArgs) -> None:
    if args.exc_value is not None and not isinstance(args.exc_value, SystemExit):
        thread = args.thread.name if args.thread else ""
        log_event(_logger, "thread_failed", level=logging.CRITICAL, exc_info=args.exc_value, thread=thread)


def _unraisable(args: Any) -> None:
    if args.exc_value is not None:
        log_event(_logger, "unraisable", level=logging.ERROR, exc_info=args.exc_value)
