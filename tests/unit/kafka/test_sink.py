"""The sink when its producer fails; an integration test covers a real Kafka."""

from dataclasses import dataclass, field

import pytest

from services.kafka.refusals import DEFAULT_BYTES
from services.kafka.sink import PAUSE_S, KafkaSink, KeyedRecord

RECORDS = [KeyedRecord(b"u", b"1"), KeyedRecord(b"u", b"2")]


@dataclass
class Sent:
    error: Exception | None

    def get(self, timeout: float) -> None:
        assert timeout > 0
        if self.error:
            raise self.error


@dataclass
class Producer:
    """Confirms the first `confirmed` records and fails the others."""

    confirmed: int = 99
    closed: int = 0
    sent: list[bytes] = field(default_factory=list)

    def send(self, topic: str, value: bytes, key: bytes) -> Sent:
        assert ("x.ranked", b"u") == (topic, key)
        self.sent.append(value)
        return Sent(None if len(self.sent) <= self.confirmed else TimeoutError())

    def close(self, timeout: float) -> None:
        assert timeout > 0
        self.closed += 1


def test_an_outage_is_logged_once_and_so_is_its_end(caplog: pytest.LogCaptureFixture) -> None:
    """After a failure there is a pause, then a new producer is opened. Records confirmed before the failure count."""
    caplog.set_level("INFO", logger="services")
    now_s, producers = [0.0], [Producer(confirmed=1), Producer(confirmed=0), Producer()]
    made = iter(producers)
    sink = KafkaSink("x.ranked", lambda: next(made), lambda: now_s[0])
    assert (True, 1, False) == (sink.ready(), sink.write(RECORDS), sink.ready())
    now_s[0] += PAUSE_S
    assert (True, 0, False) == (sink.ready(), sink.write(RECORDS), sink.ready())
    now_s[0] += PAUSE_S
    assert (2, True, 2) == (sink.write(RECORDS), sink.ready(), sink.write(RECORDS))
    assert ["served_log_unavailable", "served_log_recovered"] == [line.message for line in caplog.records]
    assert [1, 1, 0] == [producer.closed for producer in producers]
    sink.close()
    assert 1 == producers[2].closed


def test_without_a_broker_nothing_is_written(caplog: pytest.LogCaptureFixture) -> None:
    """A producer that cannot be opened is an outage like any other."""

    def refuse() -> Producer:
        raise ConnectionError

    sink = KafkaSink("x.ranked", refuse)
    assert (0, False) == (sink.write(RECORDS), sink.ready())
    assert ["served_log_unavailable"] == [line.message for line in caplog.records]
    sink.close()


def test_a_record_that_is_too_large_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    """The others are stored, and there is no pause; the log has one line."""
    producer = Producer()
    sink = KafkaSink("x.ranked", lambda: producer, lambda: 0.0)
    large = KeyedRecord(b"u", bytes(DEFAULT_BYTES))
    assert (2, 1, True) == (sink.write([RECORDS[0], large, RECORDS[1]]), sink.write([large, RECORDS[0]]), sink.ready())
    assert [b"1", b"2", b"1"] == producer.sent
    assert ["served_record_too_large"] == [line.message for line in caplog.records]
