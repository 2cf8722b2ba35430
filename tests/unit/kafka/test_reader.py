"""Asking Kafka what it cannot answer at once."""

import pytest
from kafka.errors import CoordinatorLoadInProgressError, NotCoordinatorError, UnknownTopicOrPartitionError

from services.kafka import reader as kafka_edge
from services.kafka.reader import retry_until_ready


def asked(*answers: object) -> tuple[list[object], object]:
    """What is left of the answers when one came, and that one."""
    left = list(answers)

    def ask() -> object:
        answer = left.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    return left, retry_until_ready(ask, wait_s=60)


def test_a_coordinator_that_moves_or_loads_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Until it answers."""
    monkeypatch.setattr(kafka_edge, "PAUSE_S", 0.0)
    assert ([], "answer") == asked(NotCoordinatorError(), CoordinatorLoadInProgressError(), "answer")


def test_what_will_not_pass_is_said_at_once() -> None:
    """No second try."""
    with pytest.raises(UnknownTopicOrPartitionError):
        asked(UnknownTopicOrPartitionError(), "answer")


def test_patience_ends() -> None:
    """With what the last try came to."""

    def ask() -> None:
        raise NotCoordinatorError

    with pytest.raises(NotCoordinatorError):
        retry_until_ready(ask, wait_s=0)
