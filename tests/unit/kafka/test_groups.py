"""Consumer groups: parsing Kafka's descriptions, and retries while the coordinator is not ready."""

from types import SimpleNamespace

import pytest
from kafka.errors import (
    CoordinatorLoadInProgressError,
    CoordinatorNotAvailableError,
    KafkaTimeoutError,
    NodeNotReadyError,
    NotCoordinatorError,
    RequestTimedOutError,
    UnknownTopicOrPartitionError,
    UnstableOffsetCommitError,
)

from services.kafka import groups
from services.kafka.groups import ABSENT, GroupAdmin, GroupDescription, GroupMember, parse_group, retry_until_ready


def request(*answers: object) -> tuple[list[object], object]:
    """The unused responses after the first one that is not an error, and that response."""
    left = list(answers)

    def ask() -> object:
        answer = left.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    return left, retry_until_ready(ask, wait_s=60)


def test_requests_are_retried_while_the_coordinator_is_not_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    """While the coordinator moves, loads, does not exist yet or is too busy to answer, or withholds offsets."""
    monkeypatch.setattr(groups, "PAUSE_S", 0.0)
    errors = [NotCoordinatorError(), CoordinatorLoadInProgressError(), CoordinatorNotAvailableError()]
    errors += [RequestTimedOutError(), KafkaTimeoutError(), UnstableOffsetCommitError(), NodeNotReadyError()]
    assert ([], "answer") == request(*errors, "answer")


def test_a_coordinator_is_looked_for_again_before_a_retry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Kafka's client keeps the one that it found first, also after that one died."""
    monkeypatch.setattr(groups, "PAUSE_S", 0.0)
    known = {"group": 3}

    class FakeAdmin:
        _manager = SimpleNamespace(cluster=SimpleNamespace(_coordinators=known))

        def describe_groups(self, names: list[str]) -> dict[str, object]:
            if known:
                raise NotCoordinatorError
            return {name: {"group_state": "Empty", "members": []} for name in names}

    assert "Empty" == GroupAdmin(FakeAdmin()).describe("g").state  # type: ignore[arg-type]


def test_other_errors_are_raised_at_once() -> None:
    """Without a retry."""
    with pytest.raises(UnknownTopicOrPartitionError):
        request(UnknownTopicOrPartitionError(), "answer")


def test_retries_end_after_the_time_limit() -> None:
    """With the last error."""

    def ask() -> None:
        raise NotCoordinatorError

    with pytest.raises(NotCoordinatorError):
        retry_until_ready(ask, wait_s=0)


def test_groups_have_a_state_and_members() -> None:
    """A member without an assignment has no partitions."""
    assignment = {"assigned_partitions": [{"topic": "t", "partitions": [3, 1]}], "user_data": ""}
    answer = {
        "group_state": "Stable",
        "members": [
            {"member_id": "a", "client_host": "/10.0.0.1", "member_assignment": assignment},
            {"member_id": "b", "client_host": "/10.0.0.2", "member_assignment": b""},
        ],
    }
    members = (GroupMember("a", "10.0.0.1", [1, 3]), GroupMember("b", "10.0.0.2", []))
    assert GroupDescription("Stable", members) == parse_group(answer)


def test_groups_that_do_not_exist_are_absent() -> None:
    """Groups without a description and groups in the state Dead."""
    for answer in (None, {"group_state": "Dead", "members": []}):
        assert GroupDescription(ABSENT, ()) == parse_group(answer)
