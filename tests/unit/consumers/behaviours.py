"""What every consumer does, on whatever log and store: one suite for the fakes and for the real thing.

Test classes inherit `ConsumerBehaviours` and give it a `world`. Trouble comes from wrappers around the world's log
and store, so that it is the same everywhere.
"""

import random
import threading
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from typing import Protocol

import pytest

from crossrec.events.v1.events_pb2 import Entry
from services.consumers.loop import BatchHandler, ConsumerLoop
from services.consumers.main import build_handler
from services.features.rows import Block
from services.features.schema import View
from services.kafka.connection import KafkaUnavailable
from services.kafka.record_source import LostPartitions, OutputRecord, Record, RecordSource
from services.settings.load import Settings
from services.store.protocol import Key, ReadRequest, RowStore, StoreUnavailable
from tests.unit.consumers.streams import (
    ACTIVITY,
    ENCODER,
    SCHEMA,
    START_S,
    assert_rows,
    behavior,
    behavior_event,
    erasure,
    fold_catalogue,
    item_update,
    replayed,
)

UPDATES = [item_update(item) for item in range(20)]
USER_VIEWS = ("user", "user_scenario")
VIEWS = (*USER_VIEWS, *ACTIVITY)
BATCH = 20
"""Most records per poll: small, so that there are many borders."""


class World(Protocol):
    """A log with topics, and a store."""

    settings: Settings
    store: RowStore

    def send(self, entries: Sequence[Entry]) -> list[Record]:
        """Put entries into the behaviour topic; the records, as they lie there."""
        ...

    def member(self, kind: str) -> RecordSource:
        """A new member of the group of a kind, which begins at what is committed."""
        ...

    def lag(self, kind: str) -> int:
        """How many offsets the group has not committed."""
        ...


class TroubledLog:
    """A log with trouble by order: each entry of `trouble` meets a coming commit, None meaning that it succeeds.

    `late` says that a failing commit has happened, only its answer is lost. `moved` answers the coming `keep_alive`
    calls with False.
    """

    def __init__(
        self, log: RecordSource, trouble: Sequence[Exception | None] = (), *, late: bool = False, moved: int = 0
    ) -> None:
        self._log, self._trouble, self._late, self._moved = log, list(trouble), late, moved

    def poll(self, wait_s: float) -> list[Record]:
        return self._log.poll(wait_s)

    def commit(self, outputs: Sequence[OutputRecord], records: Sequence[Record]) -> None:
        error = self._trouble.pop(0) if self._trouble else None
        if error is None or self._late:
            self._log.commit(outputs, records)
        if error is not None:
            raise error

    def keep_alive(self, wait_s: float) -> bool:
        alive = self._log.keep_alive(wait_s)
        self._moved -= 1
        return alive and self._moved < 0

    def rewind(self) -> None:
        self._log.rewind()

    def close(self) -> None:
        self._log.close()


class TroubledStore:
    """A store whose calls fail now and then, before or after their work; it calls `before_write` once."""

    def __init__(self, store: RowStore, share: float = 0.0, before_write: Callable[[], None] | None = None) -> None:
        self._store, self._share, self._chance = store, share, random.Random(0)
        self._before_write = before_write
        self.failures, self.woke = 0, False

    @contextmanager
    def _maybe_away(self):
        fails = self.failures < MOST_FAILURES and self._chance.random() < self._share
        self.failures += fails
        if fails and self._chance.random() < 0.5:
            raise StoreUnavailable("away")
        yield
        if fails:
            raise StoreUnavailable("the answer was lost")

    def read_blocks(self, requests: Sequence[ReadRequest]) -> list[Block]:
        with self._maybe_away():
            return self._store.read_blocks(requests)

    def write(self, keys: Sequence[Key], block: Block) -> None:
        before, self._before_write = self._before_write, None
        if before is not None:
            before()
            self.woke = True
        with self._maybe_away():
            self._store.write(keys, block)

    def delete(self, view: View, keys: Sequence[Key], position: Sequence[int]) -> None:
        with self._maybe_away():
            self._store.delete(view, keys, position)


MOST_FAILURES = 5
"""Of a store: the wait between tries doubles each time, and is a real one on real servers."""


class Impatient(threading.Event):
    """A stop event whose waits return at once."""

    def wait(self, timeout: float | None = None) -> bool:
        del timeout
        return self.is_set()


def loop_of(world: World, kind: str, log: RecordSource, store: RowStore | None = None) -> ConsumerLoop:
    """A consumer of the world's, driven step by step."""
    handler = build_handler(kind, world.settings, SCHEMA, store or world.store, lambda: ENCODER)
    letters = f"{world.settings.kafka.topic_prefix}.dead-letter"
    return ConsumerLoop(log, handler, letters, Impatient(), random.Random(0))


def drain(world: World, kind: str, log: RecordSource | None = None, store: RowStore | None = None) -> None:
    """Step until the group has committed everything, then leave it."""
    log = log or world.member(kind)
    loop = loop_of(world, kind, log, store)
    try:
        for _ in range(2_000):
            if not world.lag(kind):
                return
            loop.step()
    finally:
        log.close()
    raise AssertionError(f"{world.lag(kind)} records are not committed")


def prepared(world: World, entries: Sequence[Entry]) -> list[Record]:
    """The catalogue is stored, the entries are sent."""
    fold_catalogue(world.store, UPDATES)
    return world.send(entries)


def assert_as_if_nothing_happened(world: World, entries: Sequence[Entry]) -> None:
    """All rows of users, and of the activity that follows, are those of a single fold of the events."""
    drain(world, "activity")
    assert_rows(replayed(UPDATES, entries), world.store, VIEWS)


class ConsumerBehaviours:
    """The suite. At-least-once goes in, and every row is as if each event had come once."""

    def test_repeats_count_once_whichever_poll_they_come_in(self, world: World) -> None:
        """For the rows of users and for the activity of items and scenarios alike."""
        events = behavior(100)
        prepared(world, [again for event in events for again in (event, event)])
        world.send(events[-30:])
        drain(world, "behavior")
        assert_as_if_nothing_happened(world, events)

    @pytest.mark.parametrize("commits", [0, 2])
    def test_a_crash_before_the_commit_changes_nothing(self, world: World, commits: int) -> None:
        """Rows were written, offsets and outputs were not; the next process folds the batch again."""
        events = behavior(100)
        prepared(world, events)
        log = TroubledLog(world.member("behavior"), [*[None] * commits, RuntimeError("killed")])
        loop = loop_of(world, "behavior", log)
        with pytest.raises(RuntimeError, match="killed"):
            for _ in range(100):
                loop.step()
        log.close()
        assert world.lag("behavior") > 0
        drain(world, "behavior")
        assert_as_if_nothing_happened(world, events)

    def test_a_zombie_overwrites_nothing(self, world: World) -> None:
        """While it slept between read and write, its successor folded more; its write is refused, its batch dropped."""
        events = behavior(100, users=3)
        sent = prepared(world, events)
        successor = build_handler("behavior", world.settings, SCHEMA, world.store, lambda: ENCODER)
        sleeper = TroubledStore(world.store, before_write=lambda: _fold_all(successor, sent))
        log = world.member("behavior")
        loop = loop_of(world, "behavior", log, sleeper)
        while not sleeper.woke:
            assert 0 == loop.step()
        assert len(sent) == world.lag("behavior")
        drain(world, "behavior", log, sleeper)
        assert_as_if_nothing_happened(world, events)

    def test_an_erased_user_is_only_what_came_after(self, world: World) -> None:
        """Neither late events from before the erasure nor repeats bring anything back; others keep everything."""
        before = [behavior_event(number, user_id=f"u{number % 2}") for number in range(30)]
        late = behavior_event(100, user_id="u0", time=before[3].behavior_event.time)
        after = [behavior_event(number, user_id=f"u{number % 2}") for number in range(200, 230)]
        prepared(world, [*before, erasure("u0", START_S + 50), late, before[4], *after])
        drain(world, "behavior")
        kept = [*(event for event in before if event.behavior_event.user_id == "u1"), *after]
        assert_rows(replayed(UPDATES, kept), world.store, USER_VIEWS)

    def test_late_events_are_judged_by_their_place_in_the_log(self, world: World) -> None:
        """Whether a user had engaged before does not depend on where batches end, nor on repetitions."""
        events = behavior(120, users=4)
        order = random.Random(3).sample(range(120), 120)
        shuffled = [events[number] for number in order]
        prepared(world, shuffled)
        log = TroubledLog(world.member("behavior"), [None, KafkaUnavailable("down"), None, KafkaUnavailable("down")])
        drain(world, "behavior", log)
        assert_as_if_nothing_happened(world, shuffled)

    @pytest.mark.parametrize("kind", ["behavior", "activity"])
    def test_a_store_that_comes_and_goes_costs_nothing(self, world: World, kind: str) -> None:
        """Calls fail before or after their work; the batch is retried until they succeed."""
        events = behavior(100)
        prepared(world, events)
        stores = {"behavior": world.store, "activity": world.store}
        stores[kind] = flaky = TroubledStore(world.store, share=0.3)
        drain(world, "behavior", store=stores["behavior"])
        drain(world, "activity", store=stores["activity"])
        assert flaky.failures > 0
        assert_as_if_nothing_happened(world, events)

    @pytest.mark.parametrize("late", [False, True], ids=["lost", "answer lost"])
    @pytest.mark.parametrize("error", [KafkaUnavailable("down"), LostPartitions("moved")], ids=["away", "moved"])
    def test_commits_that_fail_cost_nothing(self, world: World, error: Exception, late: bool) -> None:
        """Whether they had happened or not: the reading goes on from what is committed."""
        events = behavior(100)
        prepared(world, events)
        drain(world, "behavior", TroubledLog(world.member("behavior"), [error, None, error, error], late=late))
        assert_as_if_nothing_happened(world, events)

    def test_partitions_that_move_in_mid_batch_cost_nothing(self, world: World) -> None:
        """While the store was away others may have folded the batch: it is given up, and read again if still ours."""
        events = behavior(100)
        prepared(world, events)
        log = TroubledLog(world.member("behavior"), moved=3)
        drain(world, "behavior", log, TroubledStore(world.store, share=0.3))
        assert_as_if_nothing_happened(world, events)


def _fold_all(handler: BatchHandler, records: Sequence[Record]) -> None:
    """What a successor does with everything there is."""
    left = list(records)
    while left:
        taken = handler.fold(left).records
        left = [] if taken is None else left[taken:]
