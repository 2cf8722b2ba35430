"""Batches in the traces of the requests that their records come from.

A batch holds records of many traces. Each sampled trace gets its own spans, as children of the context in the records'
`traceparent`, so that it leads from the request to the row:

    poll <topic>         from the append of its oldest record to the end of the poll that brought it
    process <topic>      from then on until the batch is committed
      fold                 once
        read|write <view>    calls of the store, for the whole batch
      commit

One span per batch with links to all its records' traces would be cheaper and is what OpenTelemetry's conventions name
first; but then no trace shows the whole path of a request. With few sampled requests, few batches hold more than one.
Beyond MAX_TRACES, further traces of a batch are left out; their number is an attribute of the spans of the others.

Outputs sum up events of several traces, so they have one `traceparent` for each, with `process` as the parent.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind

from services.kafka.record_source import OutputRecord, Record
from services.server.telemetry.opentelemetry import (
    TRACEPARENT,
    Attributes,
    Tracing,
    context_from,
    context_of,
    fail,
    is_sampled,
    traceparent_of,
)

MAX_TRACES = 32
"""Most traces that a batch appears in: a span costs about 20 us of the consumer's time."""

MAX_TRACEPARENT_BYTES = 128
"""Version 00 has 55 bytes; later ones may append fields."""

_COMMIT = "commit"


@dataclass(frozen=True)
class _Step:
    """A step of processing the batch; times in nanoseconds since 1970."""

    name: str
    kind: SpanKind
    begun_ns: int
    ended_ns: int
    attributes: Attributes


@dataclass
class _TracedBatch:
    """The current batch; steps and failures are recorded only if one of its records is in a sampled trace.

    Args:
        polled_ns: end of the poll, nanoseconds since 1970.
        records: its records that are not committed.
        traces: `traceparent` value to context, of the sampled traces in the records' headers.
        spans: the open `process` spans.
        steps: the steps done so far.
        failures: kind and time of each failure, nanoseconds since 1970.
    """

    polled_ns: int
    records: Sequence[Record]
    traces: Mapping[bytes, Context]
    spans: list[Span] = field(default_factory=list)
    steps: list[_Step] = field(default_factory=list)
    failures: list[tuple[str, int]] = field(default_factory=list)


class BatchTraces:
    """Notified of the steps of each batch; makes its spans when it ends.

    Args:
        tracing: makes spans.
        topic: the consumer's topic.
        group: the consumer group.
        clock_ns: nanoseconds since 1970.
    """

    def __init__(self, tracing: Tracing, topic: str, group: str, clock_ns: Callable[[], int] = time.time_ns) -> None:
        self._tracing, self._topic, self._clock_ns = tracing, topic, clock_ns
        self._attributes: Attributes = {
            "messaging.system": "kafka",
            "messaging.destination.name": topic,
            "messaging.consumer.group.name": group,
        }
        self._batch = _TracedBatch(0, [], {})

    def on_polled(self, records: Sequence[Record]) -> None:
        """A batch was polled; what is left of the previous one was dropped."""
        self.on_dropped()
        self._batch = _TracedBatch(self._clock_ns(), records, self._sampled_contexts(records))

    def on_store_call(self, operation: str, view: str, rows: int, seconds: float) -> None:
        """A store call has ended now, after `seconds`."""
        if self._batch.traces:
            attributes: Attributes = {
                "db.system.name": "redis",
                "db.operation.name": operation,
                "db.collection.name": view,
                "db.operation.batch.size": rows,
            }
            self._add_step(f"{operation} {view}", SpanKind.CLIENT, seconds, attributes)

    def on_folded(self, seconds: float) -> None:
        """The batch, or its first part, was folded; it has ended now, after `seconds`."""
        if self._batch.traces:
            self._add_step("fold", SpanKind.INTERNAL, seconds, {})

    def on_failure(self, what: str) -> None:
        """An attempt failed and will be retried."""
        if self._batch.traces:
            self._batch.failures.append((what, self._clock_ns()))

    def add_trace_headers(self, records: Sequence[Record], outputs: Sequence[OutputRecord]) -> Sequence[OutputRecord]:
        """The outputs, to be committed with the folded records, with headers that continue the records' traces."""
        batch = self._batch
        if not batch.traces:
            return outputs
        batch.spans = self._begin_spans(records)
        headers = [(TRACEPARENT, traceparent_of(span).encode()) for span in batch.spans]
        return [replace(output, headers=[*output.headers, *headers]) for output in outputs]

    def on_committed(self, records: int, seconds: float) -> None:
        """So many records, given to `add_trace_headers` before, were committed; it has ended now, after `seconds`."""
        batch = self._batch
        if batch.traces:
            self._add_step(_COMMIT, SpanKind.CLIENT, seconds, {})
            self._end_spans("")
            self._batch = _TracedBatch(batch.polled_ns, batch.records[records:], batch.traces)

    def on_dropped(self) -> None:
        """What is left of the current batch was dropped."""
        batch = self._batch
        if batch.traces:
            batch.spans = batch.spans or self._begin_spans(batch.records)
            self._end_spans("batch dropped")
        self._batch = _TracedBatch(0, [], {})

    def _add_step(self, name: str, kind: SpanKind, seconds: float, attributes: Attributes) -> None:
        now_ns = self._clock_ns()
        self._batch.steps.append(_Step(name, kind, now_ns - round(seconds * 1e9), now_ns, attributes))

    def _sampled_contexts(self, records: Sequence[Record]) -> dict[bytes, Context]:
        """The contexts in the records' headers whose traces are sampled."""
        found = dict.fromkeys(value for record in records for value in _traceparents(record))
        contexts = {value: context_from(value.decode(errors="replace")) for value in found}
        return {value: context for value, context in contexts.items() if is_sampled(context)}

    def _begin_spans(self, records: Sequence[Record]) -> list[Span]:
        """Begin the `process` spans of the records to commit, after making their `poll` spans."""
        own: dict[bytes, list[Record]] = {}
        for record in records:
            for value in _traceparents(record):
                if value in self._batch.traces:
                    own.setdefault(value, []).append(record)
        included = list(own.items())[:MAX_TRACES]
        left_out = {"crossrec.traces_left_out": len(own) - MAX_TRACES} if len(own) > MAX_TRACES else {}
        return [self._begin_process(value, of_trace, len(records), left_out) for value, of_trace in included]

    def _begin_process(self, value: bytes, records: Sequence[Record], batch: int, more: Attributes) -> Span:
        parent, polled_ns, first = self._batch.traces[value], self._batch.polled_ns, records[0]
        attributes = {
            **self._attributes,
            "messaging.destination.partition.id": str(first.partition),
            "messaging.kafka.offset": first.offset,
            "messaging.batch.message_count": batch,
            "crossrec.records": len(records),
            **more,
        }
        name, appended_ns = f"poll {self._topic}", round(min(record.time_s for record in records) * 1e9)
        named = {"messaging.operation.name": "poll", "messaging.operation.type": "receive"}
        begun_ns = min(appended_ns if appended_ns > 0 else polled_ns, polled_ns)
        self._tracing.start_span(name, SpanKind.CLIENT, parent, attributes | named, begun_ns).end(polled_ns)
        named = {"messaging.operation.name": "process", "messaging.operation.type": "process"}
        name = f"process {self._topic}"
        return self._tracing.start_span(name, SpanKind.CONSUMER, parent, attributes | named, polled_ns)

    def _end_spans(self, error_type: str) -> None:
        """Make the children of the `process` spans, and end these."""
        ended_ns = self._clock_ns()
        for span in self._batch.spans:
            self._add_steps(span)
            for what, at_ns in self._batch.failures:
                span.add_event("retry", {"error.type": what}, at_ns)
            if error_type:
                fail(span, error_type)
            span.end(ended_ns)

    def _add_steps(self, span: Span) -> None:
        """Make a child span per step. Store calls precede their fold; a failed fold has no span of its own."""
        parent = context_of(span)
        inside: list[_Step] = []
        for step in self._batch.steps:
            if step.kind is SpanKind.CLIENT and step.name != _COMMIT:
                inside.append(step)
                continue
            made = self._make_span(step, parent)
            for part in inside:
                self._make_span(part, context_of(made) if part.begun_ns >= step.begun_ns else parent)
            inside = []

    def _make_span(self, step: _Step, parent: Context) -> Span:
        made = self._tracing.start_span(step.name, step.kind, parent, step.attributes, step.begun_ns)
        made.end(step.ended_ns)
        return made


def _traceparents(record: Record) -> list[bytes]:
    # Longer ones are no trace context; each is a header of every output.
    return [v for name, v in record.headers if name == TRACEPARENT and v and len(v) <= MAX_TRACEPARENT_BYTES]
