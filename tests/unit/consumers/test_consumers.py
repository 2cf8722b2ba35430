"""Complete consumers on a log and a store in memory: loop, fold and commit."""

import random
import threading
from collections.abc import Sequence

import pytest

from crossrec.events.v1.activity_pb2 import ActivityDelta, ActivityDeltas
from crossrec.events.v1.events_pb2 import Entry
from services.consumers.loop import ConsumerLoop
from services.consumers.main import build_handler
from services.errors import ConfigurationError, CrossRecError
from services.features.rows import Block
from services.features.schema import View
from services.kafka.connection import KafkaUnavailable
from services.kafka.record_source import LostPartitions, MemoryRecordSource, OutputRecord, Record
from services.settings.load import Settings
from services.settings.processes import CONSUMED_TOPICS, CONSUMER_KINDS
from services.store.folding import read_scenario_ids
from services.store.memory import MemoryRowStore
from services.store.protocol import FencedWrite, Key, ReadRequest, RowStore, StoreUnavailable
from tests.unit.consumers.streams import (
    ANY_AGE,
    CONFIG,
    ENCODER,
    SCHEMA,
    assert_rows,
    behavior,
    behavior_event,
    catalogue,
    erasure,
    fold_catalogue,
    item_update,
    records,
    replayed,
    scenario_update,
)

SETTINGS = Settings(features=CONFIG, gateway=ANY_AGE)
ITEMS, SCENARIOS = 20, 3
USER_VIEWS = ["user", "user_scenario"]


class NoWaitStop(threading.Event):
    """A stop event whose waits return at once."""

    def wait(self, timeout: float | None = None) -> bool:
        del timeout
        return self.is_set()


class FlakyStore(MemoryRowStore):
    """A store that fails a seeded share of its calls; half of the failed writes take effect."""

    def __init__(self, share: float) -> None:
        super().__init__()
        self._share, self._chance = share, random.Random(0)
        self.failures = 0

    def _fails(self) -> bool:
        fails = self._chance.random() < self._share
        self.failures += fails
        return fails

    def read_blocks(self, requests: Sequence[ReadRequest]) -> list[Block]:
        if self._fails():
            raise StoreUnavailable("away")
        return super().read_blocks(requests)

    def write(self, keys: Sequence[Key], block: Block) -> None:
        fails = self._fails()
        if not fails or self._chance.random() < 0.5:
            super().write(keys, block)
        if fails:
            raise StoreUnavailable("the answer was lost")

    def delete(self, view: View, keys: Sequence[Key], position: Sequence[int]) -> None:
        fails = self._fails()
        super().delete(view, keys, position)
        if fails:
            raise StoreUnavailable("the answer was lost")


class OvertakenStore(MemoryRowStore):
    """A store in which a successor folds `log` just before the first write to a view."""

    def __init__(self, view: str, log: Sequence[Record]) -> None:
        super().__init__()
        self._view, self._log = view, log

    def write(self, keys: Sequence[Key], block: Block) -> None:
        if block.view.name == self._view and self._log:
            log, self._log = self._log, ()
            build_handler("behavior", SETTINGS, SCHEMA, self, lambda: ENCODER).fold(log)
        super().write(keys, block)


def loop_over(kind: str, log: MemoryRecordSource, store: RowStore) -> ConsumerLoop:
    handler = build_handler(kind, SETTINGS, SCHEMA, store, lambda: ENCODER)
    return ConsumerLoop(log, handler, "crossrec.dead-letter", NoWaitStop(), random.Random(0))


def drain(loop: ConsumerLoop, log: MemoryRecordSource) -> None:
    for _ in range(10 * len(log.records) + 10):
        if log.committed == len(log.records):
            return
        loop.step()
    raise AssertionError(f"committed {log.committed} of {len(log.records)} records")


def consume(kind: str, log: MemoryRecordSource, store: RowStore) -> list[OutputRecord]:
    drain(loop_over(kind, log, store), log)
    return log.outputs


def as_records(outputs: Sequence[OutputRecord]) -> list[Record]:
    return [Record(o.topic, 0, offset, o.key, o.value, list(o.headers)) for offset, o in enumerate(outputs)]


def with_items(store: MemoryRowStore) -> MemoryRowStore:
    fold_catalogue(store, catalogue(ITEMS, SCENARIOS))
    return store


def entries_with_erasures() -> list[Entry]:
    """A stream in which two users are erased, one of them twice, and have events afterwards."""
    entries = behavior(120, users=4)
    for place, user in ((90, "u1"), (60, "u2"), (30, "u1")):
        entries.insert(place, erasure(user))
    return entries


def poison(kind: str) -> Record:
    """A record that cannot be folded from any topic."""
    return Record(f"crossrec.{CONSUMED_TOPICS[kind]}", 2, 41, b"key", b"\xff\xff", [("trace", b"t")])


def valid(kind: str) -> Record:
    """A record that can be folded, at the offset after the poison record."""
    fingerprint = SCHEMA.fingerprint % 2**64
    counts = [1.0] * SCHEMA.count_length
    delta = ActivityDelta(
        item_id="i0",
        time_s=1.0,
        counts=counts,
        returning=[0.0] * 3,
        paid=[0.0] * 2,
        opinions=[0.0] * SCHEMA.config.opinion_width,
        schema_fingerprint=fingerprint,
    )
    if kind == "activity":
        return Record("crossrec.activity", 2, 42, None, ActivityDeltas(deltas=[delta]).SerializeToString())
    entry = {"behavior": behavior_event(1), "item": item_update(0), "scenario": scenario_update(0)}[kind]
    return records([entry], partition=2, offset=42)[0]


@pytest.mark.parametrize(
    "failures",
    [[RuntimeError("killed")], [KafkaUnavailable("down")] * 3, [LostPartitions("moved"), KafkaUnavailable("down")]],
)
@pytest.mark.parametrize("batch", [40, 400])
def test_a_crash_between_write_and_commit_changes_no_row(batch: int, failures: list[CrossRecError]) -> None:
    """Rows of users, and of activity folded from the outputs, equal the replay's, also after killed processes."""
    events = behavior(400)
    store, log = with_items(MemoryRowStore()), MemoryRecordSource(records(events), batch)
    log.commit_failures = list(failures)
    if isinstance(failures[0], RuntimeError):
        with pytest.raises(RuntimeError, match="killed"):
            loop_over("behavior", log, store).step()
        log.rewind()
    deltas = consume("behavior", log, store)
    activity = MemoryRecordSource(as_records(deltas), 30)
    activity.commit_failures = [KafkaUnavailable("down")]
    assert [] == consume("activity", activity, store)
    assert_rows(replayed(catalogue(ITEMS, SCENARIOS), events), store)


@pytest.mark.parametrize("kind", CONSUMER_KINDS)
def test_an_unreliable_store_changes_no_row(kind: str) -> None:
    """Calls fail before or after they take effect; no record is skipped or counted twice."""
    updates, deltas = (
        catalogue(ITEMS, SCENARIOS),
        consume("behavior", MemoryRecordSource(records(behavior(200))), FlakyStore(0.2)),
    )
    log = {
        "behavior": records(behavior(200)),
        "item": records([entry for entry in updates if entry.WhichOneof("entry") != "scenario_update"]),
        "scenario": records([entry for entry in updates if entry.WhichOneof("entry") == "scenario_update"]),
        "activity": as_records(deltas),
    }[kind]
    steady, flaky = MemoryRowStore(), FlakyStore(0.4)
    assert consume(kind, MemoryRecordSource(log, 70), steady) == consume(kind, MemoryRecordSource(log, 70), flaky)
    assert flaky.failures > 0
    views = [view for view, rows in steady.rows.items() if rows]
    assert {view: set(steady.rows[view]) for view in views} == {view: set(flaky.rows[view]) for view in views}
    calm = MemoryRowStore()
    calm.rows.update(flaky.rows)
    assert_rows(steady, calm, views)


@pytest.mark.parametrize("batch", [1, 10, 1000])
def test_erasures_are_the_same_for_any_split_and_store(batch: int) -> None:
    """Rows hold the events after each user's last erasure, also after failures and repetitions."""
    entries = entries_with_erasures()
    last = {"u1": 92, "u2": 61}
    left = [
        entry
        for number, entry in enumerate(entries)
        if entry.WhichOneof("entry") == "behavior_event" and number > last.get(entry.behavior_event.user_id, -1)
    ]
    expected = replayed(catalogue(ITEMS, SCENARIOS), left)
    store = FlakyStore(0.05)
    store.rows.update(with_items(MemoryRowStore()).rows)
    for _ in range(2):
        log = MemoryRecordSource(records(entries), batch)
        log.commit_failures = [KafkaUnavailable("down")]
        consume("behavior", log, store)
    for view in USER_VIEWS:
        assert set(expected.rows[view]) == set(store.rows[view])
    steady = MemoryRowStore()
    steady.rows.update(store.rows)
    assert_rows(expected, steady, USER_VIEWS)


@pytest.mark.parametrize("view", USER_VIEWS)
def test_an_overtaken_consumer_overwrites_no_row(view: str) -> None:
    """Its write is rejected, its batch dropped without outputs, and folding it again changes no row."""
    events = records(behavior(60, users=2))
    store = OvertakenStore(view, events)
    log = MemoryRecordSource(events, batch=20)
    loop = loop_over("behavior", log, store)
    assert (0, [], 1) == (loop.step(), log.outputs, log.rewinds)
    drain(loop, log)
    expected = MemoryRowStore()
    consume("behavior", MemoryRecordSource(events), expected)
    assert_rows(expected, store, USER_VIEWS)


def test_a_batch_behind_a_fence_is_never_committed() -> None:
    """While rows hold newer positions than the batch, no part of it is committed."""

    class FencedStore(MemoryRowStore):
        def write(self, keys: Sequence[Key], block: Block) -> None:
            del keys, block
            raise FencedWrite("1 rows hold newer positions")

    log = MemoryRecordSource(records(behavior(5)))
    loop = loop_over("behavior", log, FencedStore())
    assert [0] * 5 == [loop.step() for _ in range(5)]
    assert (0, [], 5) == (log.committed, log.outputs, log.rewinds)


@pytest.mark.parametrize("kind", CONSUMER_KINDS)
def test_a_poison_record_does_not_stop_its_topic(kind: str) -> None:
    """It becomes a dead letter with its position, and the next record is folded in the same commit."""
    store, log = MemoryRowStore(), MemoryRecordSource([poison(kind), valid(kind)])
    outputs = consume(kind, log, store)
    (letter,) = [output for output in outputs if output.topic == "crossrec.dead-letter"]
    headers = dict(letter.headers)
    assert headers.pop("reason")
    topic = f"crossrec.{CONSUMED_TOPICS[kind]}".encode()
    assert {"topic": topic, "partition": b"2", "offset": b"41", "original-trace": b"t"} == headers
    assert (b"key", b"\xff\xff") == (letter.key, letter.value)
    view = {"behavior": "user", "item": "item", "scenario": "scenario", "activity": "item_activity"}[kind]
    (row,) = store.rows[view].values()
    assert [1, 2, 42] == row["position"].tolist()


def test_repeats_of_an_event_id_count_once_across_batches() -> None:
    """When a producer sends all events again, the users' rows do not change."""
    events = behavior(150)
    once, twice = MemoryRowStore(), MemoryRowStore()
    consume("behavior", MemoryRecordSource(records(events)), once)
    again = [event for event in events for _ in range(2)]
    consume("behavior", MemoryRecordSource(records(again), 7), twice)
    assert_rows(once, twice, USER_VIEWS)


def test_the_index_lists_the_scenarios_that_are_not_deleted() -> None:
    """Each once, in order; a deleted one is listed again when it is updated again."""
    store = MemoryRowStore()
    log = [
        *records([scenario_update(2), scenario_update(0)]),
        Record("crossrec.scenarios", 0, 2, b"s2", None),
        *records([scenario_update(0), scenario_update(1), scenario_update(2)], offset=3),
    ]
    seen = []
    for end in range(1, len(log) + 1):
        consume("scenario", MemoryRecordSource(log[:end], 1), store)
        seen.append(read_scenario_ids(store, SCHEMA))
    assert [["s2"], ["s0", "s2"], ["s0"], ["s0"], ["s0", "s1"], ["s0", "s1", "s2"]] == seen


def test_a_scenario_whose_id_holds_the_separator_can_only_be_deleted() -> None:
    """It may be older than the rules of ids. Its tombstone resets it alone: only keys of items hold two ids."""
    store, odd = MemoryRowStore(), scenario_update(1)
    odd.scenario_update.scenario_id = "s0\x1fx"
    fold_catalogue(store, [odd])
    log = [*records([scenario_update(0), odd]), Record("crossrec.scenarios", 0, 2, b"s0\x1fx", None)]
    outputs = consume("scenario", MemoryRecordSource(log), store)
    assert {("s0",): "scenario 0", ("s0\x1fx",): ""} == {
        key: row["name"].item() for key, row in store.rows["scenario"].items()
    }
    assert b"scenario_update.scenario_id: holds a control character, U+001F" in dict(outputs[0].headers)["reason"]


def test_unknown_kinds_are_named() -> None:
    """Before any connection is opened."""
    from services.consumers.main import consume as run

    with pytest.raises(ConfigurationError, match="no consumer of kind users; there are behavior, item"):
        run("users", SETTINGS, MemoryRowStore(), threading.Event(), lambda: ENCODER)
