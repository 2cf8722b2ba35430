"""The metrics of the event gateway: every name, unit and label is in this file.

Knows no HTTP; the caller passes the registry. All names begin with `crossrec_gateway_`.
"""

from collections import Counter as Counts
from collections.abc import Iterable, Sequence

import grpc
from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from services.gateway.health import KafkaHealth
from services.gateway.pressure import PendingBudget, RateLimits
from services.gateway.service import EventService

PREFIX = "crossrec_gateway"

METHODS = ("Publish", "PublishStream")

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_CODES = (
    grpc.StatusCode.OK,
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.CANCELLED,
)


class GatewayMetrics:
    """Counters and histograms of calls and entries.

    Args:
        registry: registry of the metrics.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        what = "Ended calls by status code; CANCELLED where the caller had left."
        self._calls = Counter(f"{PREFIX}_calls", what, ("method", "code"), registry=registry)
        what = "Seconds per call; of a stream, as long as it was open."
        self._call_s = Histogram(f"{PREFIX}_call_seconds", what, ("method",), registry=registry, buckets=_SECONDS)
        what = "Entries by type (for behaviour events, the event type) and outcome."
        self._entries = Counter(f"{PREFIX}_entries", what, ("type", "outcome"), registry=registry)
        what = "Seconds from sending a request's records to the outcome of the last one."
        self._confirmed_s = Histogram(f"{PREFIX}_confirmation_seconds", what, registry=registry, buckets=_SECONDS)
        # Export zeros before the first occurrence, so that rates include it.
        for method in METHODS:
            for code in _CODES:
                self._calls.labels(method, code.name)

    def on_call(self, method: str, code: grpc.StatusCode, seconds: float) -> None:
        """A call ended."""
        self._calls.labels(method, code.name).inc()
        self._call_s.labels(method).observe(seconds)

    def on_rejected(self, types: Sequence[str]) -> None:
        """Entries of these types are invalid."""
        self._count(types, "rejected")

    def on_completed(self, stored: Sequence[str], unconfirmed: Sequence[str], seconds: float) -> None:
        """The outcome of valid entries of these types is known, `seconds` after they were sent."""
        self._confirmed_s.observe(seconds)
        self._count(stored, "accepted")
        self._count(unconfirmed, "unconfirmed")

    def _count(self, types: Sequence[str], outcome: str) -> None:
        for entry_type, count in Counts(types).items():
            self._entries.labels(entry_type, outcome).inc(count)


class GatewayLoadMetrics:
    """Gauges of the gateway's load, read at each scrape (the protocol of prometheus_client's collectors).

    Args:
        budget: pending bytes and records.
        rates: rate limits of clients.
        service: open streams.
        health: health of Kafka.
    """

    def __init__(self, budget: PendingBudget, rates: RateLimits, service: EventService, health: KafkaHealth) -> None:
        self._budget, self._rates, self._service, self._health = budget, rates, service, health

    def collect(self) -> Iterable[Metric]:
        """The metrics, as of now."""
        size, records = self._budget.pending
        gauges = (
            ("pending_bytes", "Accepted bytes that Kafka has not confirmed.", size),
            ("pending_bytes_limit", "Limit of pending_bytes.", self._budget.max_bytes),
            ("pending_records", "Accepted records that Kafka has not confirmed.", records),
            ("pending_records_limit", "Limit of pending_records.", self._budget.max_records),
            ("streams_open", "Open streams.", self._service.streams),
            ("kafka_up", "1 while Kafka is known to accept records, else 0.", int(self._health.serving)),
        )
        for name, what, value in gauges:
            yield GaugeMetricFamily(f"{PREFIX}_{name}", what, value=value)
        what = "Times that a client exceeded its rate: batches rejected, streams delayed."
        yield CounterMetricFamily(f"{PREFIX}_rate_limited", what, value=self._rates.limited)
