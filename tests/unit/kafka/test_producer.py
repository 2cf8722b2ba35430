"""KafkaConnection over a producer whose answers the test gives, with a clock that the test moves."""

from collections.abc import Callable
from typing import Any

import pytest

from services.errors import Unavailable
from services.kafka.producer import KafkaConnection
from services.kafka.publisher import OutgoingRecord
from tests.unit.kafka.publisher_suite import outcomes

# The real partitioner's package loads schemas through a function that Python 3.11 and 3.12 deprecate.
pytestmark = pytest.mark.filterwarnings("ignore:(read|open)_text is deprecated:DeprecationWarning")

PATIENCE_S = 10.0


class Sent:
    """A record on its way."""

    def add_callback(self, call: Callable[[object], None]) -> None:
        self.confirm = lambda: call(object())

    def add_errback(self, call: Callable[[Exception], None]) -> None:
        self.fail = call


class Producer:
    """Confirms what the test confirms."""

    def __init__(self) -> None:
        self.sent: list[Sent] = []
        self.asked = 0

    def partitions_for(self, topic: str) -> set[int]:
        del topic
        return {0}

    def send(self, *record: Any, **rest: Any) -> Sent:
        del record, rest
        self.sent.append(Sent())
        return self.sent[-1]

    def broker_answers(self, timeout_s: float) -> bool:
        del timeout_s
        self.asked += 1
        return True

    def close(self, timeout: float) -> None:
        del timeout


class Clock:
    """Stands still until it is moved."""

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
    return KafkaConnection(producer, PATIENCE_S, clock)


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


def test_silence_for_the_patience_means_broken(connection: KafkaConnection, producer: Producer, clock: Clock) -> None:
    """As long as records wait; a confirmation starts the time anew."""
    send(connection, 2)
    clock.now_s += 9
    producer.sent[0].confirm()
    clock.now_s += 9
    assert not connection.is_broken()
    clock.now_s += 1
    assert connection.is_broken()


def test_a_connection_without_records_is_never_silent(
    connection: KafkaConnection, producer: Producer, clock: Clock
) -> None:
    send(connection)
    producer.sent[0].confirm()
    clock.now_s += 1000
    assert not connection.is_broken()


def test_a_record_that_others_overtake_for_too_long_means_broken(
    connection: KafkaConnection, producer: Producer, clock: Clock
) -> None:
    """One partition may be stalled while others go on."""
    send(connection)
    for number in range(1, 3):
        clock.now_s += 9
        send(connection)
        producer.sent[number].confirm()
    assert not connection.is_broken()
    clock.now_s += 2
    assert connection.is_broken()


def test_closing_fails_what_the_producer_has_left(connection: KafkaConnection) -> None:
    """Unconfirmed records fail at once; a late confirmation is ignored."""
    confirmations = send(connection, 2)
    connection.close(1.0)
    assert [Unavailable] * 2 == [type(found) for found in outcomes(confirmations, 0.0)]
    assert [Unavailable] == [type(found) for found in outcomes(send(connection), 0.0)]


def test_a_late_answer_after_closing_changes_nothing(connection: KafkaConnection, producer: Producer) -> None:
    confirmations = send(connection)
    connection.close(1.0)
    producer.sent[0].confirm()
    assert [Unavailable] == [type(found) for found in outcomes(confirmations, 0.0)]


def test_a_check_asks_only_if_nothing_was_confirmed(connection: KafkaConnection, producer: Producer) -> None:
    """Traffic is proof enough, once."""
    send(connection)
    producer.sent[0].confirm()
    connection.check(1.0)
    assert producer.asked == 0
    connection.check(1.0)
    assert producer.asked == 1


def test_a_check_fails_when_records_wait_although_brokers_answer(connection: KafkaConnection, clock: Clock) -> None:
    """Too few replicas in sync: the cluster answers and stores nothing."""
    send(connection)
    clock.now_s += PATIENCE_S / 2
    with pytest.raises(Unavailable, match=r"confirmed nothing for 5\.0 s"):
        connection.check(1.0)
