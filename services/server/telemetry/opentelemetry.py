"""Traces by OpenTelemetry: spans are begun, ended and handed to a batch processor that sends them elsewhere.

The one module that knows the SDK; imported only where a collector is named, see `open_tracing`. Context comes and goes
as W3C `traceparent`. A caller's `tracestate` and baggage may say anything, so nothing of them is taken.
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

from services.server.telemetry.request import Timed

TRACEPARENT = "traceparent"
MAX_TRACEPARENT_CHARS = 128
"""A traceparent has 55; later versions of it may have more."""

FLUSH_S = 3.0
"""Longest wait for the collector to take what is left when a process stops, seconds."""

Attributes = Mapping[str, str | int | float]

_PROPAGATOR = TraceContextTextMapPropagator()


class Tracing:
    """Makes spans.

    Args:
        service: name of the process.
        sample_ratio: share of the traces that begin here to record.
        exporter: sends spans away, on a thread of its own.
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

    def begin(
        self,
        name: str,
        kind: SpanKind,
        parent: Context,
        attributes: Attributes,
        start_ns: int | None = None,
        links: Sequence[Link] = (),
    ) -> Span:
        """A span, begun at `start_ns` (nanoseconds since 1970; None: now); not recording if it is not sampled."""
        return self._tracer.start_span(name, parent, kind, dict(attributes), links, start_ns, record_exception=False)

    def serve(self, method: str, traceparent: str) -> Span:
        """The span of a request over gRPC, begun; `method` is `package.Service/Method`."""
        attributes = {"rpc.system.name": "grpc", "rpc.method": method}
        return self.begin(method, SpanKind.SERVER, context_from(traceparent), attributes)

    def add_timeline(self, span: Span, steps: Iterable[Timed]) -> None:
        """Children of `span`, one per step, begun and ended when the steps were."""
        parent, epoch_ns = context_of(span), time.time_ns() - time.perf_counter_ns()
        for name, start_ns, end_ns in steps:
            child = self.begin(name, SpanKind.INTERNAL, parent, {}, epoch_ns + start_ns)
            child.end(epoch_ns + end_ns)

    def close(self) -> None:
        """Send what is left, for FLUSH_S seconds at most, and let go of the collector."""
        flush = threading.Thread(target=self._provider.force_flush, name="flush-traces", daemon=True)
        flush.start()
        flush.join(FLUSH_S)
        if flush.is_alive():
            self._exporter.shutdown()  # ends the attempt in progress
            flush.join(FLUSH_S)
        self._provider.shutdown()


def fail(span: Span, error_type: str) -> None:
    """Mark a span as failed, by the kind of error; what errors say stays out of traces."""
    span.set_attribute("error.type", error_type)
    span.set_status(Status(StatusCode.ERROR))


def context_from(traceparent: str) -> Context:
    """The caller's context; an empty one for anything that is no traceparent."""
    if not traceparent or len(traceparent) > MAX_TRACEPARENT_CHARS:
        return Context()
    return _PROPAGATOR.extract({TRACEPARENT: traceparent}, Context())


def context_of(span: Span) -> Context:
    """The context of the children of `span`."""
    return set_span_in_context(span, Context())


def is_sampled(context: Context) -> bool:
    """Whether the context is that of a trace that is recorded."""
    return get_current_span(context).get_span_context().trace_flags.sampled


def traceparent_of(span: Span) -> str:
    """The span as the parent of what others do."""
    carrier: dict[str, str] = {}
    _PROPAGATOR.inject(carrier, context_of(span))
    return carrier[TRACEPARENT]
