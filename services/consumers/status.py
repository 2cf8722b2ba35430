"""Status of the consumer groups: members, committed offsets and lag, as Kafka reports them.

The data classes are pure; `read_groups` alone asks Kafka. It joins no group and changes nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from services.kafka.groups import GroupMember, open_group_admin
from services.kafka.reader import TopicReader, open_reader
from services.kafka.record_source import Record
from services.settings.load import Settings
from services.settings.processes import CONSUMED_TOPICS

NO_TOPIC = "no topic"
"""State of a group whose topic does not exist."""


@dataclass(frozen=True)
class PartitionStatus:
    """A group's position in a partition.

    Args:
        partition: its number.
        committed: the next offset to read; None if nothing is committed.
        end: the offset after the last record that may be read.
        lag_records: offsets from the next record to the end.
        lag_s: how long ago the next record was appended, seconds; 0 if there is none.
        unreadable: why the next record cannot be read, with codec and offset; empty: it can.
    """

    partition: int
    committed: int | None
    end: int
    lag_records: int
    lag_s: float
    unreadable: str = ""


@dataclass(frozen=True)
class GroupStatus:
    """A kind's consumer group.

    Args:
        kind: kind of consumer.
        group: the group's name.
        topic: the topic that it reads.
        state: Kafka's name of the state (Stable, Empty, PreparingRebalance, ...), or ABSENT, or NO_TOPIC.
        members: its consumers.
        partitions: its position in each partition.
    """

    kind: str
    group: str
    topic: str
    state: str
    members: Sequence[GroupMember]
    partitions: Sequence[PartitionStatus]

    @property
    def lag_records(self) -> int:
        """Sum over the partitions."""
        return sum(partition.lag_records for partition in self.partitions)

    @property
    def lag_s(self) -> float:
        """The largest of the partitions."""
        return max((partition.lag_s for partition in self.partitions), default=0.0)

    def as_json(self) -> dict[str, Any]:
        """All fields, with the totals."""
        return {**asdict(self), "lag_records": self.lag_records, "lag_s": self.lag_s}


def partition_status(
    partition: int, committed: int | None, bounds: tuple[int, int], next_record: Record | None, now_s: float
) -> PartitionStatus:
    """A group's position in a partition, and its lag.

    Args:
        partition: its number.
        committed: the committed offset, if any.
        bounds: first offset of the partition, and the one after the last.
        next_record: the next record; None if there is none (transaction markers at the end of a partition are not
            records).
        now_s: seconds since 1970.
    """
    beginning, end = bounds
    # Records that expired before they were read are lost, not late.
    begin = max(beginning, committed or 0)
    if next_record is None:
        return PartitionStatus(partition, committed, end, 0, 0.0)
    lag_s = max(0.0, now_s - next_record.time_s)
    return PartitionStatus(partition, committed, end, max(0, end - begin), lag_s, next_record.unreadable)


def read_groups(settings: Settings, now_s: float) -> list[GroupStatus]:
    """The groups of all kinds. Raises KafkaUnavailable."""
    kafka = settings.kafka
    with open_group_admin(kafka) as admin, open_reader(kafka, max_poll_records=1) as reader:
        groups = []
        for kind in CONSUMED_TOPICS:
            group, topic = settings.group(kind), settings.topic(kind)
            found = admin.describe(group)
            state, partitions = NO_TOPIC, list[PartitionStatus]()
            if reader.partitions(topic):
                state, committed = found.state, admin.committed_offsets(group, topic)
                partitions = _read_partitions(reader, topic, committed, now_s)
            groups.append(GroupStatus(kind, group, topic, state, found.members, partitions))
        return groups


def _read_partitions(
    reader: TopicReader, topic: str, committed: Mapping[int, int], now_s: float
) -> list[PartitionStatus]:
    beginnings, ends = reader.beginning_offsets(topic), reader.end_offsets(topic)
    unread = reader.first_records(topic, {p: max(committed.get(p, 0), begin) for p, begin in beginnings.items()})
    return [
        partition_status(p, committed.get(p), (begin, ends[p]), unread.get(p), now_s) for p, begin in beginnings.items()
    ]
