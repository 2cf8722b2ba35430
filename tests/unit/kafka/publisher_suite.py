"""The behaviour that every Publisher has, the fake and the real one."""

from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait

import pytest

from services.kafka.publisher import Confirmation, OutgoingRecord, Publisher, confirmation_error

TIMEOUT_S = 20.0


def outcomes(confirmations: Sequence[Confirmation], timeout_s: float) -> list[Exception | None]:
    """Outcomes after at most `timeout_s` seconds, per record: None if it is stored, else the error."""
    wait(confirmations, timeout_s)
    return [confirmation_error(confirmation) for confirmation in confirmations]


class PublisherSuite(ABC):
    """Subclasses have a fixture `publisher`, and one `topic` that exists and is empty."""

    @abstractmethod
    def stored(self, publisher: Publisher, topic: str) -> list[tuple[bytes, bytes]]:
        """Key and value of every record in the topic; records of one key in order."""

    @staticmethod
    def records(topic: str, *values: str, key: str = "k") -> list[OutgoingRecord]:
        return [OutgoingRecord(topic, key.encode(), key.encode(), value.encode(), []) for value in values]

    def test_records_of_a_key_are_stored_in_the_order_sent(self, publisher: Publisher, topic: str) -> None:
        """Within a batch and from batch to batch, without waiting in between."""
        numbers = [str(number) for number in range(300)]
        sent = [publisher.send(self.records(topic, *numbers[at : at + 30]), TIMEOUT_S) for at in range(0, 300, 30)]
        assert [None] * 300 == outcomes([each for batch in sent for each in batch], TIMEOUT_S)
        assert self.stored(publisher, topic) == [(b"k", number.encode()) for number in numbers]

    def test_a_confirmed_record_is_stored(self, publisher: Publisher, topic: str) -> None:
        """When a confirmation completes, the record is stored."""
        (confirmation,) = publisher.send(self.records(topic, "1"), TIMEOUT_S)
        assert confirmation.result(TIMEOUT_S) is None
        assert self.stored(publisher, topic) == [(b"k", b"1")]

    def test_an_empty_batch_has_no_confirmations(self, publisher: Publisher, topic: str) -> None:
        assert publisher.send([], TIMEOUT_S) == []
        assert self.stored(publisher, topic) == []

    def test_concurrent_senders_keep_their_order_and_lose_no_record(self, publisher: Publisher, topic: str) -> None:
        """Each thread's key has its records once and in order."""

        def send(key: str) -> list[Exception | None]:
            sent = [publisher.send(self.records(topic, str(n), key=key), TIMEOUT_S)[0] for n in range(50)]
            return outcomes(sent, TIMEOUT_S)

        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(send, "abcdefgh")) == [[None] * 50] * 8
        values = defaultdict(list)
        for key, value in self.stored(publisher, topic):
            values[key].append(int(value))
        assert values == {key.encode(): list(range(50)) for key in "abcdefgh"}

    def test_a_publisher_that_can_store_passes_its_check(self, publisher: Publisher, topic: str) -> None:
        """Before the first record, after it, and after a pause."""
        publisher.check(TIMEOUT_S)
        outcomes(publisher.send(self.records(topic, "1"), TIMEOUT_S), TIMEOUT_S)
        publisher.check(TIMEOUT_S)
        publisher.check(TIMEOUT_S)

    def test_a_closed_publisher_has_stored_pending_records_and_accepts_no_more(
        self, publisher: Publisher, topic: str
    ) -> None:
        """Later records fail; closing again does nothing."""
        under_way = publisher.send(self.records(topic, "1"), TIMEOUT_S)
        publisher.close(TIMEOUT_S)
        publisher.close(TIMEOUT_S)
        assert outcomes(under_way, 0.0) == [None]
        (late,) = outcomes(publisher.send(self.records(topic, "2"), TIMEOUT_S), TIMEOUT_S)
        assert "closed" in str(late)
        assert self.stored(publisher, topic) == [(b"k", b"1")]

    def test_a_closed_publisher_fails_its_check(self, publisher: Publisher, topic: str) -> None:
        del topic
        publisher.close(TIMEOUT_S)
        with pytest.raises(Exception, match="closed"):
            publisher.check(TIMEOUT_S)
