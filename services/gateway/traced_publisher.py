"""A publisher whose records continue the trace of their request.

One PRODUCER span per topic and batch, from sending the first record to the confirmation of the last one; its context is
the `traceparent` header of the records. Records of requests that are not sampled stay as they are.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from opentelemetry.trace import Span, SpanKind

from services.kafka.publisher import Confirmation, OutgoingRecord, Publisher, all_completed, confirmation_error
from services.server.telemetry.opentelemetry import TRACEPARENT, Tracing, context_of, fail, traceparent_of
from services.server.telemetry.request import current_request


class TracedPublisher:
    """Delegates to another publisher.

    Args:
        publisher: stores records.
        tracing: makes spans.
    """

    def __init__(self, publisher: Publisher, tracing: Tracing) -> None:
        self._publisher, self._tracing = publisher, tracing

    def send(self, records: Sequence[OutgoingRecord], timeout_s: float) -> list[Confirmation]:
        """Send through the other publisher, with the request's trace in the headers."""
        request = current_request()
        if request is None or request.span is None:
            return self._publisher.send(records, timeout_s)
        topics = [record.topic for record in records]
        spans = {topic: self._begin(request.span, topic, topics.count(topic)) for topic in dict.fromkeys(topics)}
        headers = {topic: (TRACEPARENT, traceparent_of(span).encode()) for topic, span in spans.items()}
        stamped = [replace(record, headers=[*record.headers, headers[record.topic]]) for record in records]
        confirmations = self._publisher.send(stamped, timeout_s)
        for topic, span in spans.items():
            own = [sent for sent, of in zip(confirmations, topics, strict=True) if of == topic]
            all_completed(own).add_done_callback(lambda _, span=span, own=own: _end(span, own))  # type: ignore[misc]
        return confirmations

    def check(self, timeout_s: float) -> None:
        """As the other publisher does."""
        self._publisher.check(timeout_s)

    def close(self, timeout_s: float) -> None:
        """As the other publisher does."""
        self._publisher.close(timeout_s)

    def _begin(self, parent: Span, topic: str, records: int) -> Span:
        attributes: dict[str, Any] = {
            "messaging.system": "kafka",
            "messaging.operation.name": "send",
            "messaging.operation.type": "send",
            "messaging.destination.name": topic,
            "messaging.batch.message_count": records,
        }
        return self._tracing.start_span(f"send {topic}", SpanKind.PRODUCER, context_of(parent), attributes)


def _end(span: Span, confirmations: Sequence[Confirmation]) -> None:
    failures = [found for found in map(confirmation_error, confirmations) if found is not None]
    if failures:
        fail(span, type(failures[0]).__name__)
    span.end()
