"""Structured logs: one JSON object per line on standard error, on top of the standard library's logging.

Every record has `time` (UTC, ISO 8601), `level`, `logger` and `event`, and while a request is served its
`request_id`, with traces also its `trace_id`; the rest are the event's own fields.
Event names are fixed strings; ids of users and texts they wrote never go into fields. What exceptions say may quote
such, so tracebacks are without it, unless debugging is on.
"""

import json
import logging
import os
import sys
import traceback
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, TextIO

from services.server.telemetry.request import log_fields

_FIELDS = "crossrec_fields"


class JsonFormatter(logging.Formatter):
    """Renders a record as one line of JSON.

    Args:
        exception_texts: whether tracebacks say what exceptions say, besides their types.
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
            "event": record.getMessage(),
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


def _frames_and_types(error: traceback.TracebackException) -> Iterator[str]:
    """The lines of a traceback, those that led to it first, without what the exceptions say."""
    earlier = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if earlier is not None:
        yield from _frames_and_types(earlier)
        yield "\nthen:\n\n"
    yield from error.stack.format()
    yield f"{error.exc_type.__name__ if error.exc_type else 'unknown'}\n"


def configure_logging(level: int = logging.INFO, stream: TextIO | None = None) -> None:
    """Send this process's logs to `stream` as JSON lines; call once, in a main.

    On standard error (the default) they are joined by what ends the process or a thread of it unexpectedly.
    Libraries are heard from WARNING on: their INFO lines are about themselves.
    """
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter(exception_texts=level <= logging.DEBUG))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("services").setLevel(level)
    if stream is None:
        from services.server.crash_reports import report_crashes  # which logs

        report_crashes()


def quiet_grpc() -> None:
    """Keep gRPC's core from writing what its peers send, and where they are, straight to standard error.

    What concerns a call still arrives as its error. To be called before grpc is imported; processes that are started
    from this one inherit it. Who looks for a fault in gRPC sets GRPC_VERBOSITY to DEBUG, INFO or ERROR: that stands.
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
