"""KafkaPublisher with a fake producer: connecting, order, time-outs, recovery."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from services.errors import Unavailable
from services.kafka.kafka_publisher import KafkaPublisher
from services.kafka.publisher import OutgoingRecord
from tests.unit.kafka.publisher_suite import outcomes

# The real partitioner's package loads schemas through a function that Python 3.11 and 3.12 deprecate.
pytestmark = pytest.mark.filterwarnings("ignore:(read|open)_text is deprecated:DeprecationWarning")


class RetriableFailure(Exception):
    retriable = True


class FatalFailure(Exception):
    retriable = False


class FakeFuture:
    """A future that is already done."""

    def __init__(self, error: Exception | None) -> None:
        self.error = error

    def add_callback(self, call: Callable[[object], None]) -> None:
        if self.error is None:
            call(object())

    def add_errback(self, call: Callable[[Exception], None]) -> None:
        if self.error is not None:
            call(self.error)


class FakeProducer:
    """Confirms every record except the values in `failing`; for values in `rejecting`, send raises."""

    def __init__(self, **config: Any) -> None:
        self.config = config
        self.sent: list[bytes] = []
        self.partitions: list[int] = []
        self.failing: dict[bytes, Exception] = {}
        self.rejecting: dict[bytes, Exception] = {}
        self.closed = self.silent = False

    def partitions_for(self, topic: str) -> set[int]:
        assert topic == "t"
        return {0, 1, 2, 3}

    def send(self, topic: str, value: bytes, *key: bytes, partition: int, **rest: Any) -> FakeFuture:
        assert (topic, len(key), rest) == ("t", 1, {"headers": []})
        if value in self.rejecting:
            raise self.rejecting[value]
        self.sent.append(value)
        self.partitions.append(partition)
        return FakeFuture(self.failing.get(value))

    def broker_answers(self, timeout_s: float) -> bool:
        assert timeout_s >= 0
        return not self.silent

    def close(self, timeout: float) -> None:
        assert timeout >= 0
        self.closed = True


class Kafka:
    """Opens fake producers, or fails to connect while `unavailable`."""

    def __init__(self) -> None:
        self.producers: list[FakeProducer] = []
        self.unavailable = False

    def connect(self, **config: Any) -> FakeProducer:
        if self.unavailable:
            raise RetriableFailure("unavailable")
        self.producers.append(FakeProducer(**config))
        return self.producers[-1]


def no_limits(*_: object) -> dict[str, int]:
    """Topics without a setting."""
    return {}


def records(*values: bytes, key: bytes = b"k") -> list[OutgoingRecord]:
    return [OutgoingRecord("t", key, key, value, []) for value in values]


def publish(publisher: KafkaPublisher, records: Sequence[OutgoingRecord], timeout_s: float) -> list[Exception | None]:
    return outcomes(publisher.send(records, timeout_s), 0.0)


@pytest.fixture
def kafka() -> Kafka:
    return Kafka()


@pytest.fixture
def publisher(kafka: Kafka) -> KafkaPublisher:
    return KafkaPublisher("a:1,b:2", 10.0, kafka.connect, no_limits)


def test_the_producer_waits_for_all_replicas_and_is_idempotent(kafka: Kafka, publisher: KafkaPublisher) -> None:
    """Durability depends on these settings."""
    publish(publisher, records(b"1"), 5.0)
    config = kafka.producers[0].config
    assert (
        config["bootstrap_servers"],
        config["acks"],
        config["enable_idempotence"],
    ) == (["a:1", "b:2"], "all", True)
    assert config["delivery_timeout_ms"] == config["request_timeout_ms"] + config["linger_ms"]
    assert config["allow_auto_create_topics"] is False


def test_records_are_sent_in_order_and_each_has_its_outcome(kafka: Kafka, publisher: KafkaPublisher) -> None:
    """The failure of one record does not affect the others."""
    publish(publisher, [], 5.0)
    failure = RetriableFailure()
    kafka.producers[0].failing[b"2"] = failure
    assert [None, failure, None] == publish(publisher, records(b"1", b"2", b"3"), 5.0)
    assert kafka.producers[0].sent == [b"1", b"2", b"3"]


def test_after_a_rejected_record_the_rest_is_not_sent(kafka: Kafka, publisher: KafkaPublisher) -> None:
    """A later record never overtakes one that could not be sent."""
    publish(publisher, [], 5.0)
    failure = RetriableFailure()
    kafka.producers[0].rejecting[b"2"] = failure
    first, second, third = publish(publisher, records(b"1", b"2", b"3"), 5.0)
    assert (None, failure) == (first, second)
    assert "not sent, because an earlier record failed (RetriableFailure)" == str(third)
    assert kafka.producers[0].sent == [b"1"]


def test_no_time_left_sends_nothing(kafka: Kafka, publisher: KafkaPublisher) -> None:
    """A batch that cannot be confirmed in time is not begun."""
    outcomes = publish(publisher, records(b"1"), -1.0)
    assert [TimeoutError] == [type(outcome) for outcome in outcomes]
    assert not any(producer.sent for producer in kafka.producers)


def test_a_failed_connection_fails_every_record_and_is_retried(kafka: Kafka, publisher: KafkaPublisher) -> None:
    """The gateway may start before Kafka, and works when Kafka is available."""
    kafka.unavailable = True
    assert [RetriableFailure] * 2 == [type(error) for error in publish(publisher, records(b"1", b"2"), 5.0)]
    kafka.unavailable = False
    assert publish(publisher, records(b"1"), 5.0) == [None]


def test_a_retriable_error_keeps_the_producer(kafka: Kafka, publisher: KafkaPublisher) -> None:
    """A producer retries by itself; a new one would only lose its sequence numbers."""
    publish(publisher, [], 5.0)
    kafka.producers[0].failing[b"1"] = RetriableFailure()
    publish(publisher, records(b"1"), 5.0)
    publish(publisher, records(b"2"), 5.0)
    assert len(kafka.producers) == 1


def test_a_fatal_error_replaces_the_producer(kafka: Kafka, publisher: KafkaPublisher) -> None:
    """An idempotent producer fails every record with its first fatal error, so it must be replaced."""
    publish(publisher, [], 5.0)
    kafka.producers[0].failing[b"1"] = FatalFailure()
    publish(publisher, records(b"1"), 5.0)
    assert publish(publisher, records(b"2"), 5.0) == [None]
    assert kafka.producers[0].closed
    assert kafka.producers[1].sent == [b"2"]


def test_a_producer_that_confirms_nothing_for_the_time_out_is_replaced(kafka: Kafka) -> None:
    """A stalled producer is replaced; shorter failures are left to the producer's own retries."""
    long_timeout, short_timeout = (
        KafkaPublisher("a:1", 60.0, kafka.connect, no_limits),
        KafkaPublisher("a:1", 0.0, kafka.connect, no_limits),
    )
    for publisher in (long_timeout, short_timeout):
        publish(publisher, [], 5.0)
        kafka.producers[-1].failing[b"1"] = RetriableFailure()
        publish(publisher, records(b"1"), 5.0)
        publish(publisher, [], 5.0)
    assert [producer.closed for producer in kafka.producers] == [False, True, False]


def test_a_confirmed_record_shows_that_the_producer_works(kafka: Kafka) -> None:
    """One confirmation among failures is enough to keep it."""
    publisher = KafkaPublisher("a:1", 0.0, kafka.connect, no_limits)
    publish(publisher, [], 5.0)
    kafka.producers[0].failing[b"1"] = RetriableFailure()
    publish(publisher, records(b"1", b"2"), 5.0)
    publish(publisher, [], 5.0)
    assert not kafka.producers[0].closed


def test_closing_closes_the_producer_once(kafka: Kafka, publisher: KafkaPublisher) -> None:
    """A second close does nothing, nor does a close before the first record."""
    KafkaPublisher("a:1", 10.0, kafka.connect, no_limits).close(1.0)
    publish(publisher, records(b"1"), 5.0)
    publisher.close(1.0)
    publisher.close(1.0)
    assert [producer.closed for producer in kafka.producers] == [True]


def test_a_check_replaces_a_broken_producer_without_traffic(kafka: Kafka, publisher: KafkaPublisher) -> None:
    """Otherwise a gateway whose budget is full of unconfirmed records would never send again."""
    publisher.check(1.0)
    kafka.producers[0].failing[b"1"] = FatalFailure()
    publish(publisher, records(b"1"), 5.0)
    publisher.check(1.0)
    assert [producer.closed for producer in kafka.producers] == [True, False]


def test_a_check_fails_while_there_is_no_connection_or_no_response(kafka: Kafka, publisher: KafkaPublisher) -> None:
    """And passes when the connection is back."""
    kafka.unavailable = True
    with pytest.raises(RetriableFailure):
        publisher.check(1.0)
    kafka.unavailable = False
    publisher.check(1.0)
    kafka.producers[0].silent = True
    with pytest.raises(Unavailable, match="no Kafka broker answers"):
        publisher.check(1.0)
