"""Spans of batches in the traces of their records."""

from opentelemetry.trace import SpanKind, StatusCode

from services.consumers.batch_traces import MAX_TRACES, BatchTraces
from services.kafka.record_source import OutputRecord, Record
from tests.unit.server.telemetry.recorded import (
    PARENT_ID,
    TRACE_ID,
    TRACEPARENT,
    UNSAMPLED,
    RecordedTracing,
    find_span,
    span_tree,
)

SECOND_NS = 10**9
PARENT = f"{PARENT_ID:016x}"


def traceparent(trace: int) -> str:
    return f"00-{trace:032x}-{PARENT}-01"


def record(offset: int, *traceparents: str) -> Record:
    headers: list[tuple[str, bytes | None]] = [("traceparent", value.encode()) for value in traceparents]
    return Record("t.behavior", 3, offset, b"ann", b"value", headers, time_s=90.0)


class Batches:
    """Traces of batches in which every step takes a second."""

    def __init__(self) -> None:
        self.now_s, self.recorded = 100, RecordedTracing(ratio=0.0)
        self.traces = BatchTraces(self.recorded.tracing, "t.behavior", "shop-behavior", self._clock_ns)

    def _clock_ns(self) -> int:
        return self.now_s * SECOND_NS

    def fold(self) -> None:
        """Rows are read and written; the fold is two seconds."""
        for operation in ("read", "write"):
            self.now_s += 1
            self.traces.on_store_call(operation, "user", 7, 1.0)
        self.traces.on_folded(2.0)

    def commit(self, records: list[Record], outputs: list[OutputRecord]) -> list[OutputRecord]:
        outgoing = self.traces.add_trace_headers(records, outputs)
        self.now_s += 1
        self.traces.on_committed(len(records), 1.0)
        return list(outgoing)


def test_a_recorded_trace_has_spans_for_the_batch() -> None:
    """From the append to the commit, each with its time; records of other traces are only counted."""
    batches, records = Batches(), [record(5), record(6, TRACEPARENT), record(7, UNSAMPLED), record(8, TRACEPARENT)]
    batches.traces.on_polled(records)
    batches.fold()
    batches.commit(records, [])
    spans = batches.recorded.spans()
    process = "process t.behavior"
    expected = {(PARENT, "poll t.behavior"), (PARENT, process), (process, "fold"), (process, "commit")}
    assert expected | {("fold", "read user"), ("fold", "write user")} == span_tree(spans)
    assert len(spans) == 6
    times = {span.name: (span.start_time // SECOND_NS, span.end_time // SECOND_NS) for span in spans}
    assert {"poll t.behavior": (90, 100), process: (100, 103), "fold": (100, 102), "commit": (102, 103)} == {
        name: times[name] for name in ("poll t.behavior", process, "fold", "commit")
    }
    found = find_span(spans, process)
    assert (SpanKind.CONSUMER, "3", 6) == (
        found.kind,
        found.attributes["messaging.destination.partition.id"],
        found.attributes["messaging.kafka.offset"],
    )
    assert (4, 2) == (found.attributes["messaging.batch.message_count"], found.attributes["crossrec.records"])


def test_outputs_carry_the_context_of_every_trace() -> None:
    """One header per trace, with the batch's span as the parent; outputs of a batch without traces are unchanged."""
    batches, outputs = Batches(), [OutputRecord("t.activity", b"k", b"v", [("a", b"b")])]
    records = [record(0, TRACEPARENT), record(1, traceparent(7))]
    batches.traces.on_polled(records)
    batches.fold()
    (output,) = batches.commit(records, outputs)
    batches.traces.on_polled([record(2)])
    batches.fold()
    assert outputs == batches.commit([record(2)], outputs)
    spans = [span for span in batches.recorded.spans() if span.name == "process t.behavior"]
    parents = [f"00-{s.context.trace_id:032x}-{s.context.span_id:016x}-01".encode() for s in spans]
    assert [("a", b"b"), *(("traceparent", parent) for parent in parents)] == output.headers
    assert [TRACE_ID, 7] == [span.context.trace_id for span in spans]


def test_a_record_may_belong_to_several_traces() -> None:
    """As records of activity do, which sum up events."""
    batches, records = Batches(), [record(0, TRACEPARENT, traceparent(7))]
    batches.traces.on_polled(records)
    batches.fold()
    batches.commit(records, [])
    spans = batches.recorded.spans()
    assert span_tree(spans) == span_tree(spans, 7)


def test_a_batch_in_two_parts_is_in_each_trace_once() -> None:
    """An erasure splits a batch into two commits."""
    batches, records = Batches(), [record(0, TRACEPARENT), record(1, traceparent(7))]
    batches.traces.on_polled(records)
    for part in (records[:1], records[1:]):
        batches.fold()
        batches.commit(part, [])
    batches.traces.on_polled([])
    spans = [span for span in batches.recorded.spans() if span.name == "process t.behavior"]
    assert [(TRACE_ID, StatusCode.UNSET), (7, StatusCode.UNSET)] == [
        (span.context.trace_id, span.status.status_code) for span in spans
    ]


def test_the_span_of_a_dropped_batch_has_failed() -> None:
    """Earlier failures are its events; the repeated batch has separate spans."""
    batches, records = Batches(), [record(0, TRACEPARENT)]
    batches.traces.on_polled(records)
    batches.traces.on_store_call("read", "user", 7, 0.0)
    batches.traces.on_failure("store unavailable")
    batches.traces.on_dropped()
    batches.traces.on_polled(records)
    batches.fold()
    batches.commit(records, [])
    lost, done = [span for span in batches.recorded.spans() if span.name == "process t.behavior"]
    assert (StatusCode.ERROR, StatusCode.UNSET) == (lost.status.status_code, done.status.status_code)
    assert ["store unavailable"] == [event.attributes["error.type"] for event in lost.events]
    assert () == done.events


def test_the_number_of_traces_is_bounded() -> None:
    """So that a batch whose traces are all recorded stays fast; the number of omitted traces is an attribute."""
    batches, records = Batches(), [record(n, traceparent(n + 1)) for n in range(MAX_TRACES + 5)]
    batches.traces.on_polled(records)
    batches.fold()
    batches.commit(records, [])
    spans = [span for span in batches.recorded.spans() if span.name == "process t.behavior"]
    assert MAX_TRACES == len(spans)
    assert {5} == {span.attributes["crossrec.traces_left_out"] for span in spans}


def test_invalid_traceparent_headers_are_ignored() -> None:
    batches, records = Batches(), [record(0, "", "nonsense", "\xff" * 400)]
    batches.traces.on_polled(records)
    batches.fold()
    batches.commit(records, [])
    assert [] == batches.recorded.spans()
