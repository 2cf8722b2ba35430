"""A group member's partitions: who is notified of them, where they stand, and why there may be none."""

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from kafka import ConsumerRebalanceListener, KafkaConsumer, OffsetAndMetadata, TopicPartition

from services.kafka.connection import Kafka, KafkaUnavailable
from services.kafka.groups import STABLE, open_group_admin
from services.kafka.topics import describe_topic


class PartitionObserver(Protocol):
    """Notified of rebalances and of the consumer's positions."""

    def on_revoked(self) -> None:
        """A rebalance begins: all partitions are revoked."""
        ...

    def on_assigned(self, partitions: Sequence[int]) -> None:
        """A rebalance ends with these partitions assigned."""
        ...

    def on_unassigned(self, reason: str) -> None:
        """No partition is assigned, for this reason; empty: there are more members than partitions."""
        ...

    def on_positions(self, bounds: Mapping[int, tuple[int, int]]) -> None:
        """After a poll: position and end of the assigned partitions."""
        ...

    def on_stopped(self, reasons: Sequence[str]) -> None:
        """These partitions stand before a batch that cannot be read; none: all are read."""
        ...

    def on_expired(self, partition: int, records: int) -> None:
        """Records of a partition expired in Kafka before they were folded; they cannot be recovered from it."""
        ...


class PartitionAssignment(ConsumerRebalanceListener):  # type: ignore[misc]
    """Records rebalances, and notifies the observer."""

    def __init__(self, observer: PartitionObserver) -> None:
        self._observer = observer
        self.changed = False
        self.assigned_since_s: float | None = None
        """Since when partitions are assigned, monotonic seconds; None: there are none."""
        self.unassigned_since_s: float | None = None
        """Since when a completed rebalance has left this member without any, monotonic seconds."""

    def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """A rebalance begins."""
        del revoked  # all of them: the next assignment names those that stay
        self.changed = True
        self.assigned_since_s = self.unassigned_since_s = None
        self._observer.on_revoked()

    def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """A rebalance ends with these partitions assigned."""
        partitions = sorted(partition.partition for partition in assigned)
        self.changed = True
        now_s = time.monotonic()
        self.assigned_since_s, self.unassigned_since_s = (now_s, None) if partitions else (None, now_s)
        self._observer.on_assigned(partitions)


def why_unassigned(kafka: Kafka, group: str, topic: str) -> str:
    """Why a member without partitions should have some; empty if there are more members than partitions.

    A leader that does not know the topic's partitions yet (a young or busy broker) assigns none, and would keep to that
    for minutes. Raises KafkaUnavailable.
    """
    partitions = describe_topic(kafka, topic).partitions
    with open_group_admin(kafka) as admin:
        found = admin.describe(group)
    members, idle = found.members, sum(not member.partitions for member in found.members)
    if found.state != STABLE or not idle or len(members) > partitions:
        return ""
    return f"no partitions assigned: {topic} has {partitions}, group {group} {len(members)} members, {idle} without any"


def seek(consumer: KafkaConsumer, partition: TopicPartition, offset: int | None) -> None:
    """Read on from an offset; None: from the beginning."""
    if offset is None:
        consumer.seek_to_beginning(partition)
    else:
        consumer.seek(partition, offset)


def bounds(consumer: KafkaConsumer) -> dict[int, tuple[int, int]]:
    """Position and end of the assigned partitions, where both are known; sends no request."""
    found = {}
    for partition in consumer.assignment():
        end = consumer.highwater(partition)
        if end is not None:
            found[partition.partition] = (consumer.position(partition, timeout_ms=0), end)
    return {partition: (position, end) for partition, (position, end) in found.items() if position is not None}


def check_ends(committed: Mapping[TopicPartition, int | None], ends: Mapping[TopicPartition, int]) -> None:
    """Raise KafkaUnavailable if a partition ends before its committed offset: reading on would count records twice."""
    for partition, end in ends.items():
        if (offset := committed[partition]) is not None and offset > end:
            found = f"ends at offset {end}, before the committed {offset}: Kafka has lost records"
            advice = "restore them, or increase kafka.topic_epoch and rewind"
            raise KafkaUnavailable(f"{partition.topic}, partition {partition.partition} {found}; {advice}")


def with_metadata(positions: Mapping[TopicPartition, int]) -> dict[TopicPartition, OffsetAndMetadata]:
    """Offsets in the form in which they are committed."""
    return {partition: OffsetAndMetadata(offset, "", -1) for partition, offset in positions.items()}
