"""Marks in the store of how far each partition of a topic is folded into the rows, written before Kafka's commit.

A store that was emptied, restored from an older snapshot, or lost writes in a failover is behind the offsets that the
group committed: its rows lack records that are never read again. The marks show it. On a cluster there is one on each
node, since a failover takes back what was written last on one of them: rows and mark alike. Knows no Kafka.

A mark is a row of the view `topic_state` under `topic/partition`, and under `topic/partition/number` on each node of a
cluster; its position holds the offset after the last folded record, its `from_offsets` the numbers in force.
"""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from services.features.rows import Row, pack_rows
from services.features.schema import Schema
from services.kafka.topics import TopicIdentity
from services.store.protocol import FencedWrite, Key, RowsLost, RowStore, StoreNodes, StoreUnavailable, read_rows
from services.store.topic_state import check_topic, record_topic


class FoldedOffsets:
    """The marks of one topic, for one consumer or command.

    Args:
        store: holds the rows and the marks.
        schema: the feature schema.
        topic: name of the topic.
        epoch: its epoch.
        remedy: what to do about lost rows.
    """

    def __init__(self, store: RowStore, schema: Schema, topic: str, epoch: int, remedy: str) -> None:
        self._store, self._schema, self._view = store, schema, schema["topic_state"]
        self._nodes = store if isinstance(store, StoreNodes) else None
        self._topic, self._epoch, self._remedy = topic, epoch, remedy
        self._identity: TopicIdentity | None = None
        self._committed: dict[int, int] = {}
        self._numbers: dict[int, list[int]] = {}

    def admit(self, topic: TopicIdentity, committed: Mapping[int, int]) -> list[int]:
        """Check the topic, and that the rows hold all records below the committed offsets of the assigned partitions.

        Returns the offsets per partition from which the topic is folded. Raises RowsLost; as `check_topic` does.
        """
        try:
            first_offsets = check_topic(self._store, self._schema, topic, self._epoch, committed)
            self._identity, self._committed, self._numbers = topic, {}, {}
            if not self._is_marked():
                self._mark_for_the_first_time(topic, committed)
            self._take_over(committed)
        except FencedWrite as error:
            raise StoreUnavailable(f"topic {self._topic}: another consumer marks its partitions: {error}") from error
        except RowsLost as error:
            raise self._lost(str(error)) from error
        return first_offsets

    def record(self, offsets: Mapping[int, int]) -> None:
        """Mark that all records below these offsets are folded: after the rows are written, before Kafka's commit.

        Raises RowsLost if a mark is below what was committed; StoreUnavailable.
        """
        found = self._read_marks()
        # A mark may be ahead: it was written, its commit failed, and now fewer records are committed at once.
        ahead = {p: max([offset, *(found.get(key, 0) for key in self._keys_of(p))]) for p, offset in offsets.items()}
        for partition, offset in ahead.items():
            self._renumber(partition, offset)
        self._write(ahead)
        if ahead and self._nodes is not None:
            keys = self._keys_of(next(iter(ahead)))
            self._nodes.wait_for_replicas(self._view, keys[1:] or keys)

    def confirm(self, offsets: Mapping[int, int]) -> None:
        """These offsets were committed: from now on the marks may not be below them."""
        self._committed |= offsets

    def node_changes(self) -> int:
        """See `StoreNodes`; a batch during which it grew must be folded again: its first rows may be lost."""
        return 0 if self._nodes is None else self._nodes.node_changes()

    def check(self) -> None:
        """Raise RowsLost if the state of the topic is gone, or a mark is below what was committed; StoreUnavailable."""
        self._read_marks()

    def _read_marks(self) -> dict[Key, int]:
        """The marks of the assigned partitions."""
        if self._identity is None:
            return {}
        least = {key: offset for p, offset in self._committed.items() for key in self._keys_of(p)}
        topic, *rows = read_rows(self._store, self._view, [(self._topic,), *least])
        if topic is None:
            raise self._lost(f"the state of topic {self._topic} is gone from the store")
        return {key: self._offset_of(key, row, offset) for (key, offset), row in zip(least.items(), rows, strict=True)}

    def reset(self, topic: TopicIdentity, offsets: Sequence[int]) -> None:
        """Record the topic and that it is folded from `offsets` on, one per partition, also where marks are later."""
        self._identity = topic
        for partition, offset in enumerate(offsets):
            self._numbers[partition] = self._current_numbers(partition)
            self._overwrite(partition, self._keys_of(partition), offset)
        record_topic(self._store, self._schema, topic, self._epoch, offsets, marked=True)

    def _is_marked(self) -> bool:
        (row,) = read_rows(self._store, self._view, [(self._topic,)])
        return row is not None and bool(row["position"][2])

    def _mark_for_the_first_time(self, topic: TopicIdentity, committed: Mapping[int, int]) -> None:
        """Mark the assigned partitions that have no mark under this epoch, and note when all partitions have one."""
        found = self._marked_partitions(committed)
        missing = {partition: offset for partition, offset in committed.items() if partition not in found}
        for partition, offset in missing.items():
            self._numbers[partition] = self._current_numbers(partition)
            self._overwrite(partition, self._keys_of(partition)[1:], offset)
        self._write(missing)
        if len(self._marked_partitions(range(topic.partitions))) == topic.partitions:
            (row,) = read_rows(self._store, self._view, [(self._topic,)])
            offsets = [] if row is None else row["from_offsets"].tolist()
            record_topic(self._store, self._schema, topic, self._epoch, offsets, marked=True)

    def _marked_partitions(self, partitions: Iterable[int]) -> set[int]:
        numbered = list(partitions)
        rows = read_rows(self._store, self._view, [self._key(partition) for partition in numbered])
        return {p for p, row in zip(numbered, rows, strict=True) if row is not None and self._is_current(row)}

    def _take_over(self, committed: Mapping[int, int]) -> None:
        """Take over the marks of the assigned partitions. Raises RowsLost if one is below the committed offset."""
        rows = read_rows(self._store, self._view, [self._key(partition) for partition in committed])
        for (partition, offset), row in zip(committed.items(), rows, strict=True):
            self._offset_of(self._key(partition), row, offset)
            self._numbers[partition] = [] if row is None else row["from_offsets"].tolist()
        self._committed = dict(committed)
        self._read_marks()

    def _offset_of(self, key: Key, row: Row | None, least: int) -> int:
        """The marked offset. Raises RowsLost if it is less than `least`."""
        if row is None or not self._is_current(row):
            raise self._lost(f"the mark {key[0]} of what is folded is gone from the store")
        found = int(row["position"][2])
        if found < least:
            raise self._lost(
                f"the rows hold records of {key[0]} up to offset {found}; those up to {least} were committed as folded"
            )
        return found

    def _renumber(self, partition: int, offset: int) -> None:
        """Put marks on nodes that have none in force, since slots moved."""
        current = self._current_numbers(partition)
        known = self._numbers.setdefault(partition, [])
        if added := [number for number in current if number not in known]:
            # The list of numbers, which the next write puts into the first mark, names marks that are there.
            self._overwrite(partition, [self._key(partition, number) for number in added], offset)
        self._numbers[partition] = current

    def _overwrite(self, partition: int, keys: Sequence[Key], offset: int) -> None:
        """Write marks, also over later ones: the fence compares offsets of one partition only, so of another first."""
        for position in ((self._epoch, -1, 0), (self._epoch, partition, offset)):
            self._store_marks([(key, position, self._numbers[partition]) for key in keys])

    def _write(self, offsets: Mapping[int, int]) -> None:
        self._store_marks(
            [
                (key, (self._epoch, partition, offset), self._numbers[partition])
                for partition, offset in offsets.items()
                for key in self._keys_of(partition)
            ]
        )

    def _store_marks(self, marks: Sequence[tuple[Key, tuple[int, int, int], Sequence[int]]]) -> None:
        identity = self._identity
        rows: list[Row | None] = [
            {
                "topic_id": np.array("" if identity is None else identity.topic_id, object),
                "partitions": np.array(0 if identity is None else identity.partitions),
                "from_offsets": np.array(numbers, np.int64),
                "position": np.array(position, np.int64),
                "schema": np.array(self._schema.fingerprint),
            }
            for _, position, numbers in marks
        ]
        if marks:
            self._store.write([key for key, _, _ in marks], pack_rows(self._view, rows))

    def _current_numbers(self, partition: int) -> list[int]:
        if self._nodes is None:
            return []
        return self._nodes.number_per_node(self._view, lambda number: self._key(partition, number))

    def _keys_of(self, partition: int) -> list[Key]:
        return [self._key(partition), *(self._key(partition, number) for number in self._numbers.get(partition, ()))]

    def _key(self, partition: int, number: int | None = None) -> Key:
        return (f"{self._topic}/{partition}" + ("" if number is None else f"/{number}"),)

    def _is_current(self, row: Row) -> bool:
        return int(row["position"][0]) == self._epoch

    def _lost(self, what: str) -> RowsLost:
        return RowsLost(what if self._remedy in what else f"{what}: {self._remedy}")
