"""The behaviour of every consumer, on any log and store: one suite for the fakes and for real servers.

Test classes inherit `ConsumerBehaviours` and define the fixture `world`. Failures come from wrappers around its log
and store, so that they are the same for all implementations.
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
"""Most records per poll: small, so that there are many batch borders."""


class World(Protocol):
    """A log with topics, and a store."""

    settings: Settings
    store: RowStore

    def send(self, entries: Sequence[Entry]) -> list[Record]:
        """Append entries to the behaviour topic; returns the stored records."""
        ...

    def member(self, kind: str) -> RecordSource:
        """A new member of the consumer group of a kind, which starts at the committed offsets."""
        ...

    def lag(self, kind: str) -> int:
        """Number of offsets that the group has not committed."""
        ...


class FailingRecordSource:
    """A log whose commits fail as listed: each entry of `errors` is for the next commit; None means that it succeeds.

    With `late`, a failing commit takes effect and only its response is lost. The next `moved` calls of `keep_alive`
    return False.
    """

    def __init__(
        self, log: RecordSource, errors: Sequence[Exception | None] = (), *, late: bool = False, moved: int = 0
    ) -> None:
        self._log, self._errors, self._late, self._moved = log, list(errors), late, moved

    def poll(self, wait_s: float) -> list[Record]:
        return self._log.poll(wait_s)

    def commit(self, outputs: Sequence[OutputRecord], records: Sequence[Record]) -> None:
        error = self._errors.pop(0) if self._errors else None
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


class FlakyStore:
    """A store that fails a share of its calls, before or after they take effect; it calls `before_write` once."""

    def __init__(self, store: RowStore, share: float = 0.0, before_write: Callable[[], None] | None = None) -> None:
        self._store, self._share, self._chance = store, share, random.Random(0)
        self._before_write = before_write
        self.failures, self.overtaken = 0, False

    @contextmanager
    def _maybe_fail(self):
        fails = self.failures < MOST_FAILURES and self._chance.random() < self._share
        self.failures += fails
        if fails and self._chance.random() < 0.5:
            raise StoreUnavailable("away")
        yield
        if fails:
            raise StoreUnavailable("the answer was lost")

    def read_blocks(self, requests: Sequence[ReadRequest]) -> list[Block]:
        with self._maybe_fail():
            return self._store.read_blocks(requests)

    def write(self, keys: Sequence[Key], block: Block) -> None:
        before, self._before_write = self._before_write, None
        if before is not None:
            before()
            self.overtaken = True
        with self._maybe_fail():
            self._store.write(keys, block)

    def delete(self, view: View, keys: Sequence[Key], position: Sequence[int]) -> None:
        with self._maybe_fail():
            self._store.delete(view, keys, position)


MOST_FAILURES = 5
"""Of a store: the wait between attempts doubles each time, and on real servers it is a real wait."""


class NoWaitStop(threading.Event):
    """A stop event whose waits return at once."""

    def wait(self, timeout: float | None = None) -> bool:
        del timeout
        return self.is_set()


def loop_of(world: World, kind: str, log: RecordSource, store: RowStore | None = None) -> ConsumerLoop:
    """A consumer on the world's log and store, to be stepped by the test."""
    handler = build_handler(kind, world.settings, SCHEMA, store or world.store, lambda: ENCODER)
    dead_letter_topic = f"{world.settings.kafka.topic_prefix}.dead-letter"
    return ConsumerLoop(log, handler, dead_letter_topic, NoWaitStop(), random.Random(0))


def drain(world: World, kind: str, log: RecordSource | None = None, store: RowStore | None = None) -> None:
    """Step until the group has committed all records, then leave the group."""
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


def prepare(world: World, entries: Sequence[Entry]) -> list[Record]:
    """Store the catalogue and send the entries."""
    fold_catalogue(world.store, UPDATES)
    return world.send(entries)


def assert_rows_equal_one_fold(world: World, entries: Sequence[Entry]) -> None:
    """Assert that all rows of users and of activity equal those of a single fold of the events."""
    drain(world, "activity")
    assert_rows(replayed(UPDATES, entries), world.store, VIEWS)


class ConsumerBehaviours:
    """The suite: input is delivered at least once, and every row counts each event once."""

    def test_repeats_count_once_within_and_across_polls(self, world: World) -> None:
        """In the rows of users and in the activity of items and scenarios."""
        events = behavior(100)
        prepare(world, [again for event in events for again in (event, event)])
        world.send(events[-30:])
        drain(world, "behavior")
        assert_rows_equal_one_fold(world, events)

    @pytest.mark.parametrize("commits", [0, 2])
    def test_a_crash_before_the_commit_changes_nothing(self, world: World, commits: int) -> None:
        """Rows were written, offsets and outputs were not; the next process folds the batch again."""
        events = behavior(100)
        prepare(world, events)
        log = FailingRecordSource(world.member("behavior"), [*[None] * commits, RuntimeError("killed")])
        loop = loop_of(world, "behavior", log)
        with pytest.raises(RuntimeError, match="killed"):
            for _ in range(100):
                loop.step()
        log.close()
        assert world.lag("behavior") > 0
        drain(world, "behavior")
        assert_rows_equal_one_fold(world, events)

    def test_a_zombie_overwrites_nothing(self, world: World) -> None:
        """Between its read and its write, a successor folded more; its write is rejected and its batch dropped."""
        events = behavior(100, users=3)
        sent = prepare(world, events)
        successor = build_handler("behavior", world.settings, SCHEMA, world.store, lambda: ENCODER)
        zombie = FlakyStore(world.store, before_write=lambda: _fold_all(successor, sent))
        log = world.member("behavior")
        loop = loop_of(world, "behavior", log, zombie)
        while not zombie.overtaken:
            assert 0 == loop.step()
        assert len(sent) == world.lag("behavior")
        drain(world, "behavior", log, zombie)
        assert_rows_equal_one_fold(world, events)

    def test_an_erased_user_has_later_events_only(self, world: World) -> None:
        """Late events from before the erasure and repeats restore nothing; other users keep all of their events."""
        before = [behavior_event(number, user_id=f"u{number % 2}") for number in range(30)]
        late = behavior_event(100, user_id="u0", time=before[3].behavior_event.time)
        after = [behavior_event(number, user_id=f"u{number % 2}") for number in range(200, 230)]
        prepare(world, [*before, erasure("u0", START_S + 50), late, before[4], *after])
        drain(world, "behavior")
        kept = [*(event for event in before if event.behavior_event.user_id == "u1"), *after]
        assert_rows(replayed(UPDATES, kept), world.store, USER_VIEWS)

    def test_late_events_are_flagged_by_their_position_in_the_log(self, world: World) -> None:
        """Whether a user had engaged before does not depend on batch borders or repetitions."""
        events = behavior(120, users=4)
        order = random.Random(3).sample(range(120), 120)
        shuffled = [events[number] for number in order]
        prepare(world, shuffled)
        log = FailingRecordSource(
            world.member("behavior"), [None, KafkaUnavailable("down"), None, KafkaUnavailable("down")]
        )
        drain(world, "behavior", log)
        assert_rows_equal_one_fold(world, shuffled)

    @pytest.mark.parametrize("kind", ["behavior", "activity"])
    def test_an_unreliable_store_changes_no_row(self, world: World, kind: str) -> None:
        """Calls fail before or after they take effect; the batch is retried until they succeed."""
        events = behavior(100)
        prepare(world, events)
        stores = {"behavior": world.store, "activity": world.store}
        stores[kind] = flaky = FlakyStore(world.store, share=0.3)
        drain(world, "behavior", store=stores["behavior"])
        drain(world, "activity", store=stores["activity"])
        assert flaky.failures > 0
        assert_rows_equal_one_fold(world, events)

    @pytest.mark.parametrize("late", [False, True], ids=["lost", "answer lost"])
    @pytest.mark.parametrize("error", [KafkaUnavailable("down"), LostPartitions("moved")], ids=["away", "moved"])
    def test_failed_commits_change_no_row(self, world: World, error: Exception, late: bool) -> None:
        """Whether they took effect or not: reading resumes at the committed offsets."""
        events = behavior(100)
        prepare(world, events)
        drain(world, "behavior", FailingRecordSource(world.member("behavior"), [error, None, error, error], late=late))
        assert_rows_equal_one_fold(world, events)

    def test_partitions_that_move_within_a_batch_change_no_row(self, world: World) -> None:
        """While the store is unavailable, other members may fold the batch: it is dropped, and read again if needed."""
        events = behavior(100)
        prepare(world, events)
        log = FailingRecordSource(world.member("behavior"), moved=3)
        drain(world, "behavior", log, FlakyStore(world.store, share=0.3))
        assert_rows_equal_one_fold(world, events)


def _fold_all(handler: BatchHandler, records: Sequence[Record]) -> None:
    """Fold all records, as a successor would."""
    left = list(records)
    while left:
        taken = handler.fold(left).records
        left = [] if taken is None else left[taken:]
