"""Structured logs: one JSON object per line on standard error, on top of the standard library's logging.

Every record has `time` (UTC, ISO 8601), `level`, `logger` and `event`, and while a request is served its
`request_id`, with tracing also its `trace_id`; all other fields are the event's own.
Event names are fixed strings; fields never hold user ids or texts that users wrote. Exception messages may quote both,
so tracebacks leave them out unless the level is DEBUG. Uncaught exceptions are logged in the same way: Python's own
reports would print their messages.
"""

import json
import logging
import os
import sys
import threading
import traceback
from collections.abc import Iterator
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, TextIO

from services.server.telemetry.request import log_fields

_FIELDS = "crossrec_fields"

_logger = logging.getLogger(__name__)


class JsonFormatter(logging.Formatter):
    """Renders a record as one line of JSON.

    Args:
        exception_texts: whether tracebacks hold the messages of exceptions, besides their types.
    """

    def __init__(self, *, exception_texts: bool = False) -> None:
        super().__init__()
        self._exception_texts = exception_texts

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, without its end."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": _message(record),
            **log_fields(),
            **getattr(record, _FIELDS, {}),
        }
        if record.exc_info:
            line["traceback"] = self._traceback(record.exc_info)
        return json.dumps(line, default=str, ensure_ascii=False)

    def _traceback(self, exc_info: Any) -> str:
        error = exc_info[1]
        if self._exception_texts or error is None:
            return self.formatException(exc_info)
        return "".join(_frames_and_types(traceback.TracebackException.from_exception(error)))


def _message(record: logging.LogRecord) -> str:
    """The message; without its arguments if one cannot be formatted, like a closed connection of kafka-python."""
    try:
        return record.getMessage()
    except Exception as error:  # whatever a foreign __str__ raises; a line without it is better than none
        return f"{record.msg} (arguments cannot be formatted: {type(error).__name__})"


def _frames_and_types(error: traceback.TracebackException) -> Iterator[str]:
    """The lines of a traceback without exception messages; causes come first."""
    earlier = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if earlier is not None:
        yield from _frames_and_types(earlier)
        yield "\nthen:\n\n"
    yield from error.stack.format()
    yield f"{error.exc_type.__name__ if error.exc_type else 'unknown'}\n"


def configure_logging(level: int = logging.INFO, stream: TextIO | None = None) -> None:
    """Write this process's logs to `stream` as JSON lines; call once, in a main.

    On standard error (the default), uncaught exceptions of the process and its threads are logged, too.
    Libraries log from WARNING on: their INFO lines are about themselves.
    """
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter(exception_texts=level <= logging.DEBUG))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("services").setLevel(level)
    if stream is None:
        install_crash_hooks()


def announce(event: str, **fields: Any) -> None:
    """Configure logging and log that a process starts: to load its packages takes seconds, and minutes when busy."""
    configure_logging()
    log_event(_logger, event, **fields)


def quiet_grpc() -> None:
    """Stop gRPC's core from writing to standard error, where it quotes addresses of peers and what they sent.

    Failures of a call still arrive as its error. Call this before grpc is imported; child processes inherit it.
    GRPC_VERBOSITY, if it is set (DEBUG, INFO, ERROR), stays in force.
    """
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")


def log_event(
    logger: logging.Logger,
    event: str,
    *,
    level: int = logging.INFO,
    exc_info: BaseException | None = None,
    **fields: Any,
) -> None:
    """Log the event `event` with its fields, and the traceback of `exc_info` if given."""
    logger.log(level, event, exc_info=exc_info, extra={_FIELDS: fields})


def install_crash_hooks() -> None:
    """Log uncaught exceptions of this process, its threads and its finalisers."""
    sys.excepthook = _process_failed
    threading.excepthook = _thread_failed
    sys.unraisablehook = _unraisable


def log_crash(error: BaseException) -> None:
    """Log that `error` ends the process."""
    log_event(_logger, "process_failed", level=logging.CRITICAL, exc_info=error)


def _process_failed(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, Exception):
        log_crash(error.with_traceback(trace))
    else:  # Ctrl-C: quotes no user
        sys.__excepthook__(kind, error, trace)


def _thread_failed(args: threading.ExceptHookArgs) -> None:
    if args.exc_value is not None and not isinstance(args.exc_value, SystemExit):
        thread = args.thread.name if args.thread else ""
        log_event(_logger, "thread_failed", level=logging.CRITICAL, exc_info=args.exc_value, thread=thread)


def _unraisable(args: Any) -> None:
    if args.exc_value is not None:
        log_event(_logger, "unraisable", level=logging.ERROR, exc_info=args.exc_value)
