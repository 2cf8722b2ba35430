"""The background refresh of the caches, with changes from a fake feed."""

import pytest

from services.ranking.cache.item_cache import ItemCache
from services.ranking.cache.refresh import BATCH, Refresher
from services.ranking.cache.scenario_cache import ScenarioCache
from services.store.protocol import Key, StoreUnavailable
from tests.unit.ranking.cache.test_item_cache import AGE_S, ENCODER, SCHEMA, describe, put, sizes, unique_users
from tests.unit.ranking.recording_store import Clock, RecordingStore


class FakeChangeFeed:
    """A change feed that returns the changes set by the test; first None, as the real one does."""

    def __init__(self) -> None:
        self.changes: list[dict[str, set[Key]] | Exception | None] = [None]
        self.closed = False

    def take(self, _wait_s: float) -> dict[str, set[Key]] | None:
        changes = (
            self.changes.pop(0) if self.changes else {"item": set(), "item_scenario": set(), "facet_activity": set()}
        )
        if isinstance(changes, Exception):
            raise changes
        return changes

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def store() -> RecordingStore:
    store = RecordingStore()
    for number in range(BATCH + 10):
        describe(store, f"i{number}", float(number))
    return store


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def items(store: RecordingStore, clock: Clock) -> ItemCache:
    return ItemCache(store, SCHEMA, ENCODER, 1000, AGE_S, clock)


@pytest.fixture
def feed() -> FakeChangeFeed:
    return FakeChangeFeed()


@pytest.fixture
def refresher(items: ItemCache, store: RecordingStore, feed: FakeChangeFeed, clock: Clock) -> Refresher:
    every = [f"i{number}" for number in range(BATCH + 10)]
    return Refresher(items, ScenarioCache(store, SCHEMA, 2.0, 64, clock), feed, every, clock)


def test_warming_up_reads_every_item(refresher: Refresher, items: ItemCache, store: RecordingStore) -> None:
    assert refresher.warm(60.0)
    assert BATCH + 10 == len(items)
    refresher.step(0.0)
    store.reads.clear()
    assert [3.0, 130.0] == sizes(items.lookup(["i3", "i130"], ()))
    assert [] == store.reads


def test_items_beyond_the_time_limit_are_read_later(refresher: Refresher, items: ItemCache) -> None:
    assert not refresher.warm(0.0)
    assert 0 == len(items)
    refresher.step(0.0)
    refresher.step(0.0)
    assert BATCH + 10 == len(items)


def test_only_changed_items_are_read_again(
    refresher: Refresher, items: ItemCache, store: RecordingStore, feed: FakeChangeFeed, clock: Clock
) -> None:
    refresher.warm(60.0)
    refresher.step(0.0)
    clock.now_s += 10 * AGE_S
    describe(store, "i3", 99.0)
    feed.changes.append({"item": {("i3",)}, "item_scenario": {("gone", "tv")}, "facet_activity": set()})
    refresher.step(0.0)
    store.reads.clear()
    assert [99.0, 4.0] == sizes(items.lookup(["i3", "i4"], ()))
    assert [] == store.reads


def test_changes_that_could_not_be_read_are_read_later(
    refresher: Refresher, items: ItemCache, store: RecordingStore, feed: FakeChangeFeed
) -> None:
    """The feed names a change once: rows that it named must not count as fresh after a failed read."""
    refresher.warm(60.0)
    refresher.step(0.0)
    describe(store, "i3", 99.0)
    put(store, "facet_activity", ("11",), unique_users=5.0)
    feed.changes.append({"item": {("i3",)}, "item_scenario": set(), "facet_activity": {("11",)}})
    store.failure = StoreUnavailable("time-out")
    with pytest.raises(StoreUnavailable):
        refresher.step(0.0)
    store.failure = None
    refresher.step(0.0)
    found = items.lookup(["i3", "i4"], ())
    assert [99.0, 4.0] == sizes(found)
    assert [5.0, 5.0] == unique_users(found)


def test_after_changes_were_missed_everything_is_read_again(
    refresher: Refresher, items: ItemCache, store: RecordingStore, feed: FakeChangeFeed
) -> None:
    refresher.warm(60.0)
    refresher.step(0.0)
    describe(store, "i3", 99.0)
    feed.changes.append(None)
    for _ in range(4):
        refresher.step(0.0)
    store.reads.clear()
    assert [99.0] == sizes(items.lookup(["i3"], ()))
    assert [] == store.reads


def test_without_a_change_feed_rows_are_read_again_by_age(
    refresher: Refresher, items: ItemCache, store: RecordingStore, feed: FakeChangeFeed, clock: Clock
) -> None:
    refresher.warm(60.0)
    refresher.step(0.0)
    clock.now_s += AGE_S * 0.6
    feed.changes.extend([StoreUnavailable("no permission")] * 3)
    for _ in range(3):
        with pytest.raises(StoreUnavailable, match="no permission"):
            refresher.step(0.0)
    clock.now_s += AGE_S * 0.6
    store.reads.clear()
    assert [3.0] == sizes(items.lookup(["i3"], ()))
    assert [] == store.reads


def test_a_thread_refreshes_until_it_is_stopped(refresher: Refresher, items: ItemCache, feed: FakeChangeFeed) -> None:
    refresher.start()
    refresher.filled.wait()
    refresher.stop()
    assert BATCH + 10 == len(items)
    assert feed.closed
