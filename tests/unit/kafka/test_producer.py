"""KafkaConnection with a fake producer that the test confirms, and a manual clock."""

from collections.abc import Callable
from typing import Any

import pytest

from services.errors import StorageRefused, Unavailable
from services.kafka.producer import KafkaConnection
from services.kafka.publisher import OutgoingRecord
from services.kafka.refusals import RecordLimits, RecordTooLarge
from tests.unit.kafka.publisher_suite import outcomes

# The real partitioner's package loads schemas through a function that Python 3.11 and 3.12 deprecate.
pytestmark = pytest.mark.filterwarnings("ignore:(read|open)_text is deprecated:DeprecationWarning")

TIMEOUT_S = 10.0


class Sent:
    """The future of a sent record."""

    def add_callback(self, call: Callable[[object], None]) -> None:
        self.confirm = lambda: call(object())

    def add_errback(self, call: Callable[[Exception], None]) -> None:
        self.fail = call


class Producer:
    """A producer whose records the test confirms."""

    def __init__(self) -> None:
        self.sent: list[Sent] = []
        self.broker_checks = self.lookups = 0
        self.unknown: dict[str, Exception] = {}

    def partitions_for(self, topic: str) -> set[int]:
        self.lookups += 1
        if topic in self.unknown:
            raise self.unknown[topic]
        return {0}

    def send(self, *record: Any, **rest: Any) -> Sent:
        del record, rest
        self.sent.append(Sent())
        return self.sent[-1]

    def broker_answers(self, timeout_s: float) -> bool:
        del timeout_s
        self.broker_checks += 1
        return True

    def close(self, timeout: float) -> None:
        del timeout


class Clock:
    """A clock that tests set."""

    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def producer() -> Producer:
    return Producer()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def connection(producer: Producer, limits: RecordLimits, clock: Clock) -> KafkaConnection:
    return KafkaConnection(producer, TIMEOUT_S, limits, clock)


@pytest.fixture
def limits() -> RecordLimits:
    return RecordLimits(lambda topics: dict.fromkeys(topics, 1000))


def send(connection: KafkaConnection, count: int = 1) -> list[Any]:
    return connection.send([OutgoingRecord("t", b"k", b"k", b"v", [])] * count, 1e9)


def test_records_are_confirmed_one_by_one_in_any_order(connection: KafkaConnection, producer: Producer) -> None:
    confirmations = send(connection, 3)
    failure = KeyError()
    producer.sent[2].confirm()
    producer.sent[0].fail(failure)
    assert [failure, TimeoutError, None] == [
        type(found) if isinstance(found, TimeoutError) else found for found in outcomes(confirmations, 0.0)
    ]


def test_no_confirmation_within_the_time_out_means_broken(
    connection: KafkaConnection, producer: Producer, clock: Clock
) -> None:
    """While records are pending; a confirmation restarts the time-out."""
    send(connection, 2)
    clock.now_s += 9
    producer.sent[0].confirm()
    clock.now_s += 9
    assert not connection.is_broken()
    clock.now_s += 1
    assert connection.is_broken()


def test_a_connection_without_pending_records_is_not_broken(
    connection: KafkaConnection, producer: Producer, clock: Clock
) -> None:
    send(connection)
    producer.sent[0].confirm()
    clock.now_s += 1000
    assert not connection.is_broken()


def test_a_record_overtaken_for_longer_than_the_time_out_means_broken(
    connection: KafkaConnection, producer: Producer, clock: Clock
) -> None:
    """One partition may be stalled while others work."""
    send(connection)
    for number in range(1, 3):
        clock.now_s += 9
        send(connection)
        producer.sent[number].confirm()
    assert not connection.is_broken()
    clock.now_s += 2
    assert connection.is_broken()


def test_closing_fails_pending_records(connection: KafkaConnection) -> None:
    """Unconfirmed records fail at once; a late confirmation is ignored."""
    confirmations = send(connection, 2)
    connection.close(1.0)
    assert [Unavailable] * 2 == [type(found) for found in outcomes(confirmations, 0.0)]
    assert [Unavailable] == [type(found) for found in outcomes(send(connection), 0.0)]


def test_a_late_confirmation_after_closing_is_ignored(connection: KafkaConnection, producer: Producer) -> None:
    confirmations = send(connection)
    connection.close(1.0)
    producer.sent[0].confirm()
    assert [Unavailable] == [type(found) for found in outcomes(confirmations, 0.0)]


def test_a_check_calls_brokers_only_if_nothing_was_confirmed(connection: KafkaConnection, producer: Producer) -> None:
    """A confirmation since the last check replaces one call."""
    send(connection)
    producer.sent[0].confirm()
    connection.check(1.0)
    assert producer.broker_checks == 0
    connection.check(1.0)
    assert producer.broker_checks == 1


def test_a_check_fails_when_records_are_pending_although_brokers_respond(
    connection: KafkaConnection, clock: Clock
) -> None:
    """With too few in-sync replicas the cluster responds but stores nothing."""
    send(connection)
    clock.now_s += TIMEOUT_S / 2
    with pytest.raises(Unavailable, match=r"confirmed nothing for 5\.0 s"):
        connection.check(1.0)


class PermanentError(Exception):
    """As kafka-python's errors that it does not retry by itself."""

    retriable = False


class MessageSizeTooLargeError(PermanentError):
    """Named as kafka-python names it."""


class TopicAuthorizationFailedError(PermanentError):
    """Named as kafka-python names it."""


def record(topic: str = "t", size: int = 1) -> OutgoingRecord:
    return OutgoingRecord(topic, b"k", b"k", b"v" * size, [])


def test_a_record_that_is_too_large_is_not_sent(
    connection: KafkaConnection, producer: Producer, limits: RecordLimits
) -> None:
    """The others are, and the connection stays: a producer would be of no use after the brokers' refusal."""
    limits.most("t")
    limits.refresh()
    confirmations = connection.send([record(), record(size=1000), record()], 1e9)
    assert 2 == len(producer.sent)
    for sent in producer.sent:
        sent.confirm()
    assert [None, RecordTooLarge, None] == [found and type(found) for found in outcomes(confirmations, 0.0)]
    assert "is 1083 bytes long as a record, topic t takes at most 1000 (max.message.bytes)" in str(
        outcomes(confirmations, 0.0)[1]
    )
    assert not connection.is_broken()


def test_of_records_that_fail_with_one_that_is_too_large_only_that_one_is_refused(
    connection: KafkaConnection, producer: Producer, limits: RecordLimits
) -> None:
    """The producer fails all that it holds with the same error. The size is known from then on."""
    confirmations = connection.send([record(), record(size=500), record(topic="other")], 1e9)
    error = MessageSizeTooLargeError()
    for number in (1, 0, 2):
        producer.sent[number].fail(error)
    assert [Unavailable, RecordTooLarge, Unavailable] == [type(found) for found in outcomes(confirmations, 0.0)]
    assert connection.is_broken()
    assert 500 + 82 == limits.most("t")


def test_what_an_operator_must_change_is_not_to_be_sent_again(connection: KafkaConnection, producer: Producer) -> None:
    """All records of a topic that is refused fail so; those of other topics may be sent again."""
    confirmations = connection.send([record(), record(), record(topic="other")], 1e9)
    error = TopicAuthorizationFailedError("t")
    for sent in producer.sent:
        sent.fail(error)
    assert [StorageRefused, StorageRefused, Unavailable] == [type(found) for found in outcomes(confirmations, 0.0)]
    assert "Kafka refuses to store records in topic t (TopicAuthorizationFailedError)" in str(
        outcomes(confirmations, 0.0)[0]
    )


def test_a_topic_that_is_refused_before_sending_breaks_nothing(connection: KafkaConnection, producer: Producer) -> None:
    """Records of other topics are sent, and the brokers are asked once."""
    producer.unknown["t"] = TopicAuthorizationFailedError("t")
    confirmations = connection.send([record(), record(topic="other"), record()], 1e9)
    producer.sent[0].confirm()
    assert [StorageRefused, None, StorageRefused] == [found and type(found) for found in outcomes(confirmations, 0.0)]
    assert (2, False) == (producer.lookups, connection.is_broken())


def test_after_a_passing_failure_the_rest_is_not_sent(connection: KafkaConnection, producer: Producer) -> None:
    """A later record would overtake one of its key that is sent again."""
    producer.unknown["t"] = TimeoutError("no metadata")
    confirmations = connection.send([record(), record(topic="other")], 1e9)
    assert [TimeoutError, Unavailable] == [type(found) for found in outcomes(confirmations, 0.0)]
    assert [] == producer.sent
