"""Marks of what is folded: a store that is behind the committed offsets is noticed, whatever lost its rows."""

from collections.abc import Callable, Mapping, Sequence

import pytest

from services.features.config import FeatureConfig
from services.features.schema import View, build_schema
from services.kafka.topics import TopicIdentity
from services.store.folded_offsets import FoldedOffsets
from services.store.memory import MemoryRowStore
from services.store.protocol import Key, RowsLost, StoreUnavailable
from services.store.topic_state import record_topic

SCHEMA = build_schema(FeatureConfig())
NAME = "crossrec.behavior"
TOPIC = TopicIdentity(NAME, "id-1", 2)
REMEDY = "rewind"


class NodedStore(MemoryRowStore):
    """A store of three nodes, each of which has one mark of every partition; any can lose its latest writes."""

    def __init__(self) -> None:
        super().__init__()
        self.numbers = [0, 1, 4]
        self.changes, self.waits = 0, list[Sequence[Key]]()
        self.has_replicas = True

    def node_changes(self) -> int:
        return self.changes

    def number_per_node(self, view: View, key_of: Callable[[int], Key]) -> list[int]:
        del view, key_of
        return list(self.numbers)

    def wait_for_replicas(self, view: View, keys: Sequence[Key]) -> None:
        del view
        self.waits.append(keys)
        if not self.has_replicas:
            raise StoreUnavailable("0 of 1 replicas")

    def snapshot(self) -> dict[Key, object]:
        return dict(self.rows["topic_state"])

    def restore(self, rows: Mapping[Key, object], *keys: Key) -> None:
        """Take these rows, or all, back to a snapshot."""
        if keys:
            self.rows["topic_state"].update({key: rows[key] for key in keys})  # type: ignore[misc]
        else:
            self.rows["topic_state"] = dict(rows)  # type: ignore[arg-type]


def folded(store: MemoryRowStore, epoch: int = 1) -> FoldedOffsets:
    return FoldedOffsets(store, SCHEMA, NAME, epoch, REMEDY)


def commit(marks: FoldedOffsets, offsets: Mapping[int, int]) -> None:
    marks.record(offsets)
    marks.confirm(offsets)


@pytest.fixture(params=[MemoryRowStore, NodedStore])
def store(request: pytest.FixtureRequest) -> MemoryRowStore:
    kind: type[MemoryRowStore] = request.param
    return kind()


def test_a_store_that_holds_everything_is_admitted(store: MemoryRowStore) -> None:
    """At first, after commits, by another consumer, and with records that follow no folded one."""
    first = folded(store)
    assert [0, 0] == first.admit(TOPIC, {0: 0, 1: 0})
    commit(first, {0: 10})
    commit(first, {0: 20, 1: 5})
    assert [0, 0] == folded(store).admit(TOPIC, {0: 20, 1: 5})
    assert [0, 0] == folded(store).admit(TOPIC, {1: 3})
    first.check()


def test_an_emptied_store_is_noticed(store: MemoryRowStore) -> None:
    """Before the next commit, while no records arrive, and at the start of a consumer."""
    marks = folded(store)
    marks.admit(TOPIC, {0: 0, 1: 0})
    commit(marks, {0: 10})
    store.rows.clear()
    for ask in (lambda: marks.record({0: 20}), marks.check, lambda: folded(store).admit(TOPIC, {0: 10})):
        with pytest.raises(RowsLost, match=REMEDY):
            ask()


def test_an_older_snapshot_is_noticed(store: MemoryRowStore) -> None:
    """By a consumer that runs, and by one that starts; not by one whose partition did not move on since."""
    marks = folded(store)
    marks.admit(TOPIC, {0: 0, 1: 0})
    commit(marks, {0: 10, 1: 7})
    old = dict(store.rows["topic_state"])
    commit(marks, {0: 20})
    store.rows["topic_state"] = old
    with pytest.raises(RowsLost, match=r"crossrec.behavior/0.* up to offset 10; those up to 20 .*rewind"):
        marks.record({0: 30})
    with pytest.raises(RowsLost):
        folded(store).admit(TOPIC, {0: 20, 1: 7})
    folded(store).admit(TOPIC, {1: 7})


@pytest.mark.parametrize("number", [None, 0, 1, 4])
def test_a_node_that_lost_its_last_writes_is_noticed(number: int | None) -> None:
    """Each node has a mark of its own."""
    store = NodedStore()
    marks = folded(store)
    marks.admit(TOPIC, {0: 0, 1: 0})
    commit(marks, {0: 10})
    old = store.snapshot()
    commit(marks, {0: 20})
    store.restore(old, (f"{NAME}/0" + ("" if number is None else f"/{number}"),))
    for ask in (lambda: marks.record({0: 30}), lambda: folded(store).admit(TOPIC, {0: 20})):
        with pytest.raises(RowsLost):
            ask()


def test_marks_that_were_not_committed_are_no_loss(store: MemoryRowStore) -> None:
    """They may be lost; and they may be ahead of what is committed next."""
    marks = folded(store)
    marks.admit(TOPIC, {0: 0, 1: 0})
    commit(marks, {0: 10})
    old = dict(store.rows["topic_state"])
    marks.record({0: 30})
    commit(marks, {0: 20})
    folded(store).admit(TOPIC, {0: 20})
    store.rows["topic_state"] = old
    marks = folded(store)
    marks.admit(TOPIC, {0: 10})
    marks.record({0: 30})


def test_nodes_that_get_their_first_slots_get_marks() -> None:
    """And marks that are in force again are not taken for old ones."""
    store = NodedStore()
    marks = folded(store)
    marks.admit(TOPIC, {0: 0, 1: 0})
    commit(marks, {0: 10})
    store.numbers = [0, 3]
    commit(marks, {0: 20})
    old = store.snapshot()
    commit(marks, {0: 30})
    store.numbers = [0, 1, 3, 4]
    commit(marks, {0: 40})
    folded(store).admit(TOPIC, {0: 40})
    store.restore(old, (f"{NAME}/0/3",))
    with pytest.raises(RowsLost):
        folded(store).admit(TOPIC, {0: 40})


def test_replicas_are_waited_for_before_the_commit() -> None:
    """On every node; with too few the batch is tried again."""
    store = NodedStore()
    marks = folded(store)
    marks.admit(TOPIC, {0: 0, 1: 0})
    marks.record({0: 10, 1: 4})
    assert [[(f"{NAME}/0/{number}",) for number in store.numbers]] == store.waits
    store.has_replicas = False
    with pytest.raises(StoreUnavailable, match="replicas"):
        marks.record({0: 20})
    store.has_replicas = True
    commit(marks, {0: 20})


def test_a_store_of_an_older_version_is_taken_as_it_is(store: MemoryRowStore) -> None:
    """It has the topic's state and no marks; once all partitions have one, a missing one is a loss."""
    record_topic(store, SCHEMA, TOPIC, 1, [3, 0])
    assert [3, 0] == folded(store).admit(TOPIC, {0: 100})
    assert [3, 0] == folded(store).admit(TOPIC, {1: 50})
    assert [3, 0] == folded(store).admit(TOPIC, {0: 100, 1: 50})
    del store.rows["topic_state"][(f"{NAME}/1",)]
    with pytest.raises(RowsLost, match="gone"):
        folded(store).admit(TOPIC, {1: 50})


def test_a_new_epoch_begins_with_what_is_committed(store: MemoryRowStore) -> None:
    """Of the same topic with more partitions, or of another one."""
    marks = folded(store)
    marks.admit(TOPIC, {0: 0, 1: 0})
    commit(marks, {0: 10, 1: 7})
    other = TopicIdentity(NAME, "id-2", 3)
    following = folded(store, epoch=2)
    following.admit(other, {0: 0, 1: 0, 2: 0})
    commit(following, {0: 1})
    folded(store, epoch=2).admit(other, {0: 1, 1: 0, 2: 0})


def test_a_reset_takes_marks_back(store: MemoryRowStore) -> None:
    """As a rewind does; consumers then go on from there, and notice losses again."""
    marks = folded(store)
    marks.admit(TOPIC, {0: 0, 1: 0})
    commit(marks, {0: 100, 1: 50})
    folded(store).reset(TOPIC, [20, 0])
    with pytest.raises(RowsLost):  # the group's offsets are not set yet
        folded(store).admit(TOPIC, {0: 100, 1: 50})
    marks = folded(store)
    assert [20, 0] == marks.admit(TOPIC, {0: 20, 1: 0})
    commit(marks, {0: 30})
    folded(store).admit(TOPIC, {0: 30, 1: 0})


def test_a_batch_is_marked_without_an_assignment(store: MemoryRowStore) -> None:
    """As when an unreadable batch is passed over."""
    marks = folded(store)
    marks.admit(TOPIC, {0: 0, 1: 0})
    commit(marks, {0: 10})
    folded(store).record({0: 25})
    folded(store).admit(TOPIC, {0: 25, 1: 0})
