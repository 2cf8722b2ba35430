"""Traces by OpenTelemetry: starts and ends spans; a batch processor exports them.

The only module that knows the SDK; imported only if a collector is configured, see `open_tracing`. Context is
propagated as W3C `traceparent`. A caller's `tracestate` and baggage may hold anything, so they are ignored.
"""

import threading
import time
from collections.abc import Iterable, Mapping, Sequence

from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.sampling import ParentBasedTraceIdRatio
from opentelemetry.trace import (
    Link,
    Span,
    SpanKind,
    Status,
    StatusCode,
    get_current_span,
    set_span_in_context,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from services.server.telemetry.request import TimedStep

TRACEPARENT = "traceparent"
MAX_TRACEPARENT_CHARS = 128
"""A traceparent has 55 characters; later versions of the format may have more."""

FLUSH_S = 3.0
"""Longest time to export the remaining spans when a process stops, seconds."""

Attributes = Mapping[str, str | int | float]

_PROPAGATOR = TraceContextTextMapPropagator()


class Tracing:
    """Makes spans.

    Args:
        service: name of the process.
        sample_ratio: share of the traces that begin in this process to record.
        exporter: sends spans to the collector, on a thread of its own.
    """

    def __init__(self, service: str, sample_ratio: float, exporter: SpanExporter) -> None:
        self._provider = TracerProvider(
            sampler=ParentBasedTraceIdRatio(sample_ratio),
            resource=Resource.create({"service.name": service}),
            shutdown_on_exit=False,
        )
        self._exporter = exporter
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("crossrec")

    def start_span(
        self,
        name: str,
        kind: SpanKind,
        parent: Context,
        attributes: Attributes,
        start_ns: int | None = None,
        links: Sequence[Link] = (),
    ) -> Span:
        """A span that starts at `start_ns` (nanoseconds since 1970; None: now); not recording if it is not sampled."""
        return self._tracer.start_span(name, parent, kind, dict(attributes), links, start_ns, record_exception=False)

    def start_server_span(self, method: str, traceparent: str) -> Span:
        """The started span of a request over gRPC; `method` is `package.Service/Method`."""
        attributes = {"rpc.system.name": "grpc", "rpc.method": method}
        return self.start_span(method, SpanKind.SERVER, context_from(traceparent), attributes)

    def add_timeline(self, span: Span, steps: Iterable[TimedStep]) -> None:
        """Add a child of `span` per step, with the step's begin and end."""
        parent, epoch_ns = context_of(span), time.time_ns() - time.perf_counter_ns()
        for name, start_ns, end_ns in steps:
            child = self.start_span(name, SpanKind.INTERNAL, parent, {}, epoch_ns + start_ns)
            child.end(epoch_ns + end_ns)

    def close(self) -> None:
        """Export the remaining spans, for FLUSH_S seconds at most, and disconnect from the collector."""
        flush = threading.Thread(target=self._provider.force_flush, name="flush-traces", daemon=True)
        flush.start()
        flush.join(FLUSH_S)
        if flush.is_alive():
            self._exporter.shutdown()  # ends the attempt in progress
            flush.join(FLUSH_S)
        self._provider.shutdown()


def fail(span: Span, error_type: str) -> None:
    """Mark a span as failed, with the type of the error; messages of errors stay out of traces."""
    span.set_attribute("error.type", error_type)
    span.set_status(Status(StatusCode.ERROR))


def context_from(traceparent: str) -> Context:
    """The caller's context; an empty one for a text that is not a traceparent."""
    if not traceparent or len(traceparent) > MAX_TRACEPARENT_CHARS:
        return Context()
    return _PROPAGATOR.extract({TRACEPARENT: traceparent}, Context())


def context_of(span: Span) -> Context:
    """The context of the children of `span`."""
    return set_span_in_context(span, Context())


def is_sampled(context: Context) -> bool:
    """Whether the trace of the context is recorded."""
    return get_current_span(context).get_span_context().trace_flags.sampled


def traceparent_of(span: Span) -> str:
    """The traceparent that makes spans of other processes children of `span`."""
    carrier: dict[str, str] = {}
    _PROPAGATOR.inject(carrier, context_of(span))
    return carrier[TRACEPARENT]
