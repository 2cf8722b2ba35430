"""Refreshes the caches in the background, so that requests find fresh rows in memory.

The store's change feed reports which rows were written, and only those are read again; without a change feed (no
permission, no such command) rows are read again by age. Knows caches and the change feed; runs in a thread of its own.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import islice

from services.errors import CrossRecError
from services.ranking.cache.item_cache import ItemCache
from services.ranking.cache.item_table import FACET_VIEW
from services.ranking.cache.scenario_cache import ScenarioCache
from services.server.logging import log_event
from services.store.protocol import ChangeFeed, StoreUnavailable

BATCH = 128
"""Items per read: requests wait no longer than it takes to fill their columns in."""

POLL_S = 0.2
"""Seconds between polls of the change feed."""

_logger = logging.getLogger(__name__)


class Refresher:
    """Fills and refreshes caches.

    Args:
        items: the items in memory.
        scenarios: the scenarios in memory.
        changes: the change feed.
        every_item: ids to read at the start, up to the capacity of the cache.
        clock: monotonic seconds, the same as the caches'.
    """

    def __init__(
        self,
        items: ItemCache,
        scenarios: ScenarioCache,
        changes: ChangeFeed,
        every_item: Iterable[str],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._items, self._scenarios, self._changes, self._clock = items, scenarios, changes, clock
        self._to_read: Iterator[str] = islice(every_item, items.size)
        self.filled, self._stopping = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="refresher", daemon=True)
        self._failing = ""

    def warm(self, limit_s: float) -> bool:
        """Read items until all are in memory (True) or `limit_s` is over; `start` continues with the others.

        Raises StoreUnavailable.
        """
        until_s = self._clock() + limit_s
        self._apply_changes(0.0)
        while self._clock() < until_s:
            if not self._read_next():
                return True
        return False

    def start(self) -> None:
        """Start the background thread."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread and wait for it."""
        self._stopping.set()
        self._thread.join()
        self._changes.close()

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self.step(POLL_S)
            except CrossRecError as error:
                self._log_state(str(error))
                self._stopping.wait(POLL_S)
            else:
                self._log_state("")

    def step(self, wait_s: float) -> None:
        """Read scenarios, changed rows, and a batch of stale or new ones. Raises StoreUnavailable."""
        ids = self._scenarios.refresh_if_due().ids
        due = self._items.due_for_refresh(BATCH)
        if due:
            self._items.read(due, ids)
        more = self._read_next()
        self._apply_changes(0.0 if more or len(due) == BATCH else wait_s)

    def _read_next(self) -> bool:
        """Read the next of the initial items; False if there are none left."""
        batch = list(islice(self._to_read, BATCH))
        if batch:
            self._items.read(batch, self._scenarios.current().ids)
        else:
            self.filled.set()
        return bool(batch)

    def _apply_changes(self, wait_s: float) -> None:
        begun_s = self._clock()
        changed = self._changes.take(wait_s)
        if changed is None:
            self._items.mark_all_stale()
            return
        facets = {int(key) for (key,) in changed.pop(FACET_VIEW, set())}
        items = {key[0] for keys in changed.values() for key in keys}
        if items or facets:
            self._items.mark_changed(items, facets)
            try:
                self._items.refresh_changed(items, facets, self._scenarios.current().ids)
            except StoreUnavailable:
                self._items.mark_stale(items, facets)  # the feed does not name them again
                raise
        self._items.mark_synced(begun_s)

    def _log_state(self, failing: str) -> None:
        if failing and failing != self._failing:
            log_event(_logger, "refresh_failing", level=logging.WARNING, reason=failing)
        if self._failing and not failing:
            log_event(_logger, "refresh_recovered")
        self._failing = failing
