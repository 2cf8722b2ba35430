"""The fake publisher, and confirmations."""

import pytest

from services.kafka.publisher import (
    Confirmation,
    MemoryPublisher,
    OutgoingRecord,
    Publisher,
    all_completed,
    failed_confirmation,
)
from tests.unit.kafka.publisher_suite import PublisherSuite, outcomes


class TestMemoryPublisher(PublisherSuite):
    """The fake keeps sent records in memory."""

    @pytest.fixture
    def publisher(self) -> MemoryPublisher:
        return MemoryPublisher()

    @pytest.fixture
    def topic(self) -> str:
        return "t"

    def stored(self, publisher: Publisher, topic: str) -> list[tuple[bytes, bytes]]:
        assert isinstance(publisher, MemoryPublisher)
        return [(record.key, record.value) for record in publisher.stored if record.topic == topic]


def records(*values: bytes) -> list[OutgoingRecord]:
    return [OutgoingRecord("t", b"k", b"k", value, []) for value in values]


def test_the_fake_fails_the_configured_records_and_its_check_with_the_first() -> None:
    """The failure of one record does not affect the others."""
    failure = KeyError("told to")
    publisher = MemoryPublisher(failures={1: failure})
    assert [None, failure, None] == outcomes(publisher.send(records(b"1", b"2", b"3"), 1.0), 1.0)
    assert [record.value for record in publisher.stored] == [b"1", b"3"]
    publisher.check(1.0)
    publisher.failures = {0: failure}
    with pytest.raises(KeyError, match="told to"):
        publisher.check(1.0)


def test_a_holding_fake_confirms_on_release() -> None:
    """Until then nothing is stored."""
    publisher = MemoryPublisher(holding=True)
    confirmations = publisher.send(records(b"1", b"2"), 1.0)
    assert [type(found) for found in outcomes(confirmations, 0.0)] == [TimeoutError, TimeoutError]
    assert publisher.stored == []
    assert publisher.wait_for_held(2) == 2
    publisher.release()
    assert outcomes(confirmations, 0.0) == [None, None]
    assert len(publisher.stored) == 2


def test_an_unfinished_confirmation_times_out() -> None:
    """Finished confirmations of the same batch keep their outcomes."""
    stored, failure = Confirmation(), KeyError()
    stored.set_result(None)
    assert [None, failure, TimeoutError] == [
        found if index < 2 else type(found)
        for index, found in enumerate(outcomes([stored, failed_confirmation(failure), Confirmation()], 0.0))
    ]


def test_all_completed_is_done_when_the_last_confirmation_is_done() -> None:
    """With any outcome; for an empty list it is done at once."""
    assert all_completed([]).done()
    late = Confirmation()
    known = all_completed([failed_confirmation(KeyError()), late])
    assert not known.done()
    late.set_result(None)
    assert known.result(0.0) is None
