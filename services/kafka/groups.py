"""Consumer groups, seen through the admin client: members, committed offsets, and setting offsets of a stopped group.

Joins no group. Every request to a coordinator goes through `retry_until_ready`.
"""

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from kafka import TopicPartition
from kafka import errors as kafka_errors
from kafka.admin import KafkaAdminClient

from services.kafka.connection import WAIT_S, Kafka
from services.kafka.topics import open_admin

PAUSE_S = 0.1
"""Seconds between two tries."""

PASSING_S = 30.0
"""Seconds for which an error that passes is waited for: on a busy machine a coordinator takes that long to load."""

STABLE = "Stable"
"""Kafka's state of a group whose partitions are assigned."""

DEAD = "Dead"
"""Kafka's state of a group that never existed, and of one with offsets whose coordinator has forgotten it."""

ABSENT = "absent"
"""State of a group that does not exist."""

T = TypeVar("T")


@dataclass(frozen=True)
class GroupMember:
    """A consumer process in a group.

    Args:
        member_id: Kafka's id of the member.
        host: address that it connects from.
        partitions: partitions assigned to it.
    """

    member_id: str
    host: str
    partitions: Sequence[int]


@dataclass(frozen=True)
class GroupDescription:
    """State and members of a group.

    Args:
        state: Kafka's name of the state (Stable, Empty, PreparingRebalance, ...), or ABSENT.
        members: its consumers.
        protocol: Kafka's type of its protocol; empty before the first member.
    """

    state: str
    members: Sequence[GroupMember]
    protocol: str = ""


class GroupAdmin:
    """Reads and sets what Kafka stores of consumer groups.

    Args:
        admin: a connected admin client.
    """

    def __init__(self, admin: KafkaAdminClient) -> None:
        self._admin = admin

    def describe(self, group: str) -> GroupDescription:
        """State and members of the group."""
        try:
            return parse_group(self._ask(lambda: self._admin.describe_groups([group])[group]))
        except kafka_errors.GroupIdNotFoundError:
            return parse_group(None)

    def rights(self, group: str) -> Collection[str] | None:
        """What this principal may do with the group, as Kafka's names of operations; None: there is no such group."""
        try:
            found = self._ask(lambda: self._admin.describe_groups([group], include_authorized_operations=True)[group])
        except kafka_errors.GroupAuthorizationFailedError:
            return ()
        except kafka_errors.GroupIdNotFoundError:
            return None
        # Kafka names no rights on a group that does not exist yet.
        return None if found["group_state"] == DEAD else found["authorized_operations"] or ()

    def committed_offsets(self, group: str, topic: str) -> dict[int, int]:
        """The committed offset per partition of the topic; partitions without one are left out."""
        try:
            offsets = self._ask(lambda: self._admin.list_group_offsets([group])[group])
        except kafka_errors.GroupIdNotFoundError:
            return {}
        return {at.partition: found.offset for at, found in offsets.items() if at.topic == topic and found.offset >= 0}

    def set_offsets(self, group: str, topic: str, offsets: Sequence[int]) -> None:
        """Commit these offsets, one per partition of the topic, for a group without members."""
        self._set(group, {TopicPartition(topic, number): offset for number, offset in enumerate(offsets)})

    def set_offset(self, group: str, topic: str, partition: int, offset: int) -> None:
        """Commit an offset of one partition, for a group without members."""
        self._set(group, {TopicPartition(topic, partition): offset})

    def _set(self, group: str, offsets: Mapping[TopicPartition, int]) -> None:
        answers = self._ask(lambda: self._admin.reset_group_offsets(group, dict(offsets)))
        for partition, answer in answers.items():
            if answer["error"].errno:
                raise answer["error"](f"group {group}, {partition}")

    def _ask(self, request: Callable[[], T]) -> T:
        # The client asks the coordinator that it found first for ever, also when it has moved or died.
        return retry_until_ready(request, before_retry=self._admin._manager.cluster._coordinators.clear)


@contextmanager
def open_group_admin(kafka: Kafka) -> Iterator[GroupAdmin]:
    """A GroupAdmin. Errors of Kafka's client within the context are raised as KafkaUnavailable."""
    with open_admin(kafka, bootstrap_timeout_ms=int(WAIT_S * 1000)) as admin:
        yield GroupAdmin(admin)


def parse_group(answer: Mapping[str, Any] | None) -> GroupDescription:
    """State and members from Kafka's description of a group; None: there is no such group."""
    if answer is None or answer["group_state"] == DEAD:
        return GroupDescription(ABSENT, ())
    return GroupDescription(
        answer["group_state"], tuple(map(_parse_member, answer["members"])), answer.get("protocol_type", "")
    )


def _parse_member(answer: Mapping[str, Any]) -> GroupMember:
    # During a rebalance the assignment is empty bytes.
    assignment = answer["member_assignment"]
    topics = assignment["assigned_partitions"] if isinstance(assignment, Mapping) else ()
    partitions = sorted(partition for topic in topics for partition in topic["partitions"])
    return GroupMember(answer["member_id"], answer["client_host"].lstrip("/"), partitions)


def retry_until_ready(
    request: Callable[[], T], wait_s: float = PASSING_S, before_retry: Callable[[], object] = lambda: None
) -> T:
    """The answer to a request, which is repeated for up to `wait_s` seconds while it fails for a passing reason.

    A coordinator moves, loads, or, on a new broker, does not exist before its first request; offsets are withheld
    while a transaction is open.
    """
    deadline = time.monotonic() + wait_s
    while True:
        try:
            return request()
        except kafka_errors.UnknownTopicOrPartitionError:
            raise
        except kafka_errors.RetriableError:
            if time.monotonic() > deadline:
                raise
            time.sleep(PAUSE_S)
            before_retry()
