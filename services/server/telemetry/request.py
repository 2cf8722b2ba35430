"""The request that is being served: its ids, for the log, and what was measured on the way, for its trace.

Travels in a context variable. Knows neither gRPC nor OpenTelemetry; costs nothing where nobody asks.
"""

import uuid
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Protocol

Timed = tuple[str, int, int]
"""What was done, begin and end in nanoseconds of `time.perf_counter_ns`."""


class Timeline(Protocol):
    """What a handler measures while it works."""

    @property
    def steps(self) -> list[Timed]:
        """Steps in the order in which they ended."""
        ...

    @property
    def notes(self) -> dict[str, str | int]:
        """Attributes of the whole; no ids of users or items, no texts."""
        ...


@dataclass(slots=True)
class Request:
    """A request that is being served.

    Args:
        id: names the request in the log and in the answer's metadata.
        trace_id: of the trace that it belongs to, 32 hexadecimal digits; empty without traces.
        span: the request's span if it is recorded (`opentelemetry.trace.Span`).
        timeline: what becomes of its stages.
    """

    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    trace_id: str = ""
    span: Any = None
    timeline: Timeline | None = None


_current: ContextVar[Request | None] = ContextVar("crossrec_request", default=None)

enter = _current.set
"""Take a request as the one being served here; returns what `leave` wants."""

leave = _current.reset
"""Go back to what was before; ValueError in another context than `enter` was called in."""

current = _current.get
"""The request being served; None outside of any."""


def attach(timeline: Timeline) -> None:
    """Have the request's trace show what the timeline will hold in the end, if it is recorded."""
    request = current()
    if request is not None and request.span is not None:
        request.timeline = timeline


def log_fields() -> dict[str, str]:
    """The ids of the request being served, as log lines have them."""
    request = current()
    if request is None:
        return {}
    return {"request_id": request.id} | ({"trace_id": request.trace_id} if request.trace_id else {})
