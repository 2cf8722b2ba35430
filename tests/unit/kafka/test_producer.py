"""KafkaConnection with a fake producer that the test confirms, and a manual clock."""

from collections.abc import Callable
from typing import Any

import pytest

from services.errors import Unavailable
from services.kafka.producer import KafkaConnection
from services.kafka.publisher import OutgoingRecord
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
        self.broker_checks = 0

    def partitions_for(self, topic: str) -> set[int]:
        del topic
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
def connection(producer: Producer, clock: Clock) -> KafkaConnection:
    return KafkaConnection(producer, TIMEOUT_S, clock)


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
