"""The request that is being served, in a context variable: its ids for the log, its timeline for the trace.

Knows neither gRPC nor OpenTelemetry; does nothing outside of a request.
"""

import uuid
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Protocol

TimedStep = tuple[str, int, int]
"""Name of a step, begin and end in nanoseconds of `time.perf_counter_ns`."""


class Timeline(Protocol):
    """Steps and attributes that a handler measures during a request."""

    @property
    def steps(self) -> list[TimedStep]:
        """Steps in the order in which they ended."""
        ...

    @property
    def notes(self) -> dict[str, str | int]:
        """Attributes of the request; no ids of users or items, no texts."""
        ...


@dataclass(slots=True)
class TracedRequest:
    """A request that is being served.

    Args:
        id: names the request in the log and in the answer's metadata.
        trace_id: of the trace that it belongs to, 32 hexadecimal digits; empty without traces.
        span: the request's span if it is recorded (`opentelemetry.trace.Span`).
        timeline: the measured stages; become spans.
    """

    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    trace_id: str = ""
    span: Any = None
    timeline: Timeline | None = None


_current: ContextVar[TracedRequest | None] = ContextVar("crossrec_request", default=None)

enter_request = _current.set
"""Make a request the current one; returns the token that `leave_request` needs."""

leave_request = _current.reset
"""Restore the previous request; ValueError in another context than that of `enter_request`."""

current_request = _current.get
"""The request being served; None outside of any."""


def attach_timeline(timeline: Timeline) -> None:
    """Add the steps that the timeline holds at the end of the request to its trace, if it is recorded."""
    request = current_request()
    if request is not None and request.span is not None:
        request.timeline = timeline


def log_fields() -> dict[str, str]:
    """The ids of the current request, as fields of log lines."""
    request = current_request()
    if request is None:
        return {}
    return {"request_id": request.id} | ({"trace_id": request.trace_id} if request.trace_id else {})
