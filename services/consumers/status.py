"""How the consumer groups stand: members, committed offsets and what is left, as Kafka tells it.

The shapes are pure; `read_groups` is the only part that asks Kafka. It joins no group and changes nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from kafka import KafkaConsumer, TopicPartition
from kafka.admin import KafkaAdminClient
from kafka.errors import CoordinatorNotAvailableError, GroupIdNotFoundError

from services.consumers.kinds import TOPICS
from services.events.routing import topic_name
from services.kafka.connection import kafka_arguments
from services.kafka.reader import WAIT_S, first_records, reachable, reader, retry_until_ready
from services.settings.load import Settings

UNKNOWN_GROUP = (GroupIdNotFoundError, CoordinatorNotAvailableError)
"""What Kafka says of a group that never was; the second before there was any group at all."""

ABSENT = "absent"
"""State of a group that nobody has joined yet."""

NO_TOPIC = "no topic"
"""State of a group whose topic does not exist."""


@dataclass(frozen=True)
class GroupMember:
    """A consumer process in a group.

    Args:
        member_id: Kafka's name for it.
        host: where it connects from.
        partitions: what it has.
    """

    member_id: str
    host: str
    partitions: Sequence[int]


@dataclass(frozen=True)
class PartitionStatus:
    """How a group stands in a partition.

    Args:
        partition: its number.
        committed: the next offset to read; None if nothing is committed.
        end: the offset after the last record that may be read.
        lag_records: offsets from the next record to the end.
        lag_s: how long the next record has been there, seconds; 0 if there is none.
    """

    partition: int
    committed: int | None
    end: int
    lag_records: int
    lag_s: float


@dataclass(frozen=True)
class GroupStatus:
    """A kind's consumer group.

    Args:
        kind: kind of consumer.
        group: the group's name.
        topic: what it reads.
        state: Kafka's word (Stable, Empty, PreparingRebalance, ...), or ABSENT, or NO_TOPIC.
        members: who is in it.
        partitions: how it stands, by partition.
    """

    kind: str
    group: str
    topic: str
    state: str
    members: Sequence[GroupMember]
    partitions: Sequence[PartitionStatus]

    @property
    def lag_records(self) -> int:
        """Of all partitions."""
        return sum(partition.lag_records for partition in self.partitions)

    @property
    def lag_s(self) -> float:
        """Of the partition that is furthest behind."""
        return max((partition.lag_s for partition in self.partitions), default=0.0)

    def as_json(self) -> dict[str, Any]:
        """All of it, with the totals."""
        return {**asdict(self), "lag_records": self.lag_records, "lag_s": self.lag_s}


def partition_status(
    partition: int, committed: int | None, bounds: tuple[int, int], next_s: float | None, now_s: float
) -> PartitionStatus:
    """How a group stands.

    Args:
        partition: its number.
        committed: the committed offset, if any.
        bounds: first offset in the log, and the one after the last.
        next_s: when the next record was appended, seconds since 1970; None if there is none, markers of
            transactions at the end of the log being none.
        now_s: seconds since 1970.
    """
    beginning, end = bounds
    # What was deleted before it was read is lost, not late.
    begin = max(beginning, committed or 0)
    if next_s is None:
        return PartitionStatus(partition, committed, end, 0, 0.0)
    return PartitionStatus(partition, committed, end, max(0, end - begin), max(0.0, now_s - next_s))


def described(kind: str, group: str, topic: str, answer: Mapping[str, Any] | None) -> GroupStatus:
    """State and members out of Kafka's description of a group; None: it does not exist."""
    # A group that has offsets but no coordinator's memory of it is Dead, as one is that never was.
    if answer is None or answer["group_state"] == "Dead":
        return GroupStatus(kind, group, topic, ABSENT, (), ())
    return GroupStatus(kind, group, topic, answer["group_state"], tuple(map(_member, answer["members"])), ())


def _member(answer: Mapping[str, Any]) -> GroupMember:
    # While partitions are handed out the assignment is empty bytes.
    assignment = answer["member_assignment"]
    topics = assignment["assigned_partitions"] if isinstance(assignment, Mapping) else ()
    partitions = sorted(partition for topic in topics for partition in topic["partitions"])
    return GroupMember(answer["member_id"], answer["client_host"].lstrip("/"), partitions)


def read_groups(settings: Settings, now_s: float) -> list[GroupStatus]:
    """The groups of all kinds. Raises KafkaUnavailable."""
    kafka, prefix = settings.kafka, settings.kafka.topic_prefix
    with (
        reachable(kafka),
        KafkaAdminClient(**kafka_arguments(kafka), bootstrap_timeout_ms=int(WAIT_S * 1000)) as admin,
        reader(kafka, max_poll_records=1) as consumer,
    ):
        groups = []
        for kind, suffix in TOPICS.items():
            group, topic = f"{settings.consumers.group_prefix}-{kind}", topic_name(prefix, suffix)
            status = described(kind, group, topic, _group(admin, group))
            partitions = _partitions(admin, topic)
            if not partitions:
                groups.append(replace(status, state=NO_TOPIC))
            else:
                groups.append(replace(status, partitions=_stand(consumer, partitions, _offsets(admin, group), now_s)))
        return groups


def _group(admin: KafkaAdminClient, group: str) -> Mapping[str, Any] | None:
    try:
        answer: Mapping[str, Any] = retry_until_ready(lambda: admin.describe_groups([group])[group])
    except UNKNOWN_GROUP:
        return None
    return answer


def _offsets(admin: KafkaAdminClient, group: str) -> dict[TopicPartition, int]:
    try:
        offsets = retry_until_ready(lambda: admin.list_group_offsets([group])[group])
    except UNKNOWN_GROUP:
        return {}
    return {partition: at.offset for partition, at in offsets.items() if at.offset >= 0}


def _partitions(admin: KafkaAdminClient, topic: str) -> list[TopicPartition]:
    (answer,) = admin.describe_topics([topic])
    return [TopicPartition(topic, number) for number in sorted(p["partition_index"] for p in answer["partitions"])]


def _stand(
    consumer: KafkaConsumer, partitions: Sequence[TopicPartition], committed: Mapping[TopicPartition, int], now_s: float
) -> list[PartitionStatus]:
    beginnings, ends = consumer.beginning_offsets(partitions), consumer.end_offsets(partitions)
    unread = first_records(consumer, {p: max(committed.get(p, 0), beginnings[p]) for p in partitions})
    return [
        partition_status(
            p.partition,
            committed.get(p),
            (beginnings[p], ends[p]),
            unread[p].timestamp / 1000 if p in unread else None,
            now_s,
        )
        for p in partitions
    ]
