"""Records carry the trace context of their request."""

from collections.abc import Iterator

import pytest
from opentelemetry.trace import SpanKind, StatusCode

from services.gateway.traced_publisher import TracedPublisher
from services.kafka.publisher import MemoryPublisher, OutgoingRecord
from services.server.telemetry.opentelemetry import traceparent_of
from services.server.telemetry.request import TracedRequest, enter_request, leave_request
from tests.unit.server.telemetry.recorded import TRACEPARENT, RecordedTracing, find_span, span_tree


def record(topic: str, number: int) -> OutgoingRecord:
    return OutgoingRecord(topic, b"ann", b"ann", b"value %d" % number, [("content-type", b"x")])


RECORDS = [record("t.behavior", 0), record("t.items", 1), record("t.behavior", 2)]


@pytest.fixture
def recorded() -> Iterator[RecordedTracing]:
    """A recorded request: records published within the test belong to its trace."""
    recorded = RecordedTracing()
    request = TracedRequest(span=recorded.tracing.start_server_span("s/Publish", TRACEPARENT))
    token = enter_request(request)
    yield recorded
    leave_request(token)
    request.span.end()


def test_records_name_the_span_that_sends_them(recorded: RecordedTracing) -> None:
    """One span per topic of the batch; it ends when all of its records are confirmed."""
    publisher = MemoryPublisher(holding=True)
    TracedPublisher(publisher, recorded.tracing).send(RECORDS, 1.0)
    assert [] == [span for span in recorded.exporter.get_finished_spans() if span.name.startswith("send")]
    publisher.release()
    spans = recorded.spans()
    assert {"send t.behavior", "send t.items"} == {name for _, name in span_tree(spans)}
    behavior = find_span(spans, "send t.behavior")
    assert (SpanKind.PRODUCER, 2) == (behavior.kind, behavior.attributes["messaging.batch.message_count"])
    headers = [record.headers for record in publisher.stored]
    assert ["content-type", "traceparent"] == [name for name, _ in headers[0]]
    assert headers[0] == headers[2] != headers[1]
    assert f"{behavior.context.span_id:016x}".encode() in headers[0][1][1]


def test_a_record_that_is_not_stored_fails_the_span(recorded: RecordedTracing) -> None:
    """With the type of the error, without its text."""
    TracedPublisher(MemoryPublisher({0: TimeoutError("about ann")}), recorded.tracing).send(RECORDS[:1], 1.0)
    span = find_span(recorded.spans(), "send t.behavior")
    assert (StatusCode.ERROR, "TimeoutError") == (span.status.status_code, span.attributes["error.type"])
    assert "ann" not in span.to_json()


def test_records_of_unrecorded_requests_are_unchanged() -> None:
    """Also records published outside of a request."""
    recorded, publisher = RecordedTracing(), MemoryPublisher()
    traced = TracedPublisher(publisher, recorded.tracing)
    traced.send(RECORDS[:1], 1.0)
    token = enter_request(TracedRequest())
    traced.send(RECORDS[:1], 1.0)
    leave_request(token)
    assert [RECORDS[0]] * 2 == publisher.stored
    assert [] == recorded.spans()


def test_a_traceparent_has_the_w3c_format() -> None:
    recorded = RecordedTracing()
    span = recorded.tracing.start_server_span("s/M", TRACEPARENT)
    assert traceparent_of(span) == f"{TRACEPARENT[:36]}{span.get_span_context().span_id:016x}-01"
