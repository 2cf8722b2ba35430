"""Keeps the caches young in the background, so that requests find their rows in memory.

The store tells which rows were written, and those alone are read again; where it does not (no permission, no such
command) rows are read again by age. Knows caches and what tells of changes; runs in a thread of its own.
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
from services.store.protocol import ChangeFeed

BATCH = 128
"""Items read at once: requests wait for no longer than their columns take to fill in."""

TOLD_S = 0.2
"""Seconds between looks at what has changed."""

_logger = logging.getLogger(__name__)


class Refresher:
    """Fills and refreshes caches.

    Args:
        items: the items in memory.
        scenarios: the scenarios in memory.
        changes: tells what changes.
        every_item: ids to begin with; the first ones that the cache has room for are read.
        clock: monotonic seconds, the caches' own.
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
        """Read items until all are there, True, or for so many seconds; `start` goes on with the others.

        Raises StoreUnavailable.
        """
        until_s = self._clock() + limit_s
        self._listen(0.0)
        while self._clock() < until_s:
            if not self._read_more():
                return True
        return False

    def start(self) -> None:
        """Go on in the background."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread and wait for it."""
        self._stopping.set()
        self._thread.join()
        self._changes.close()

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self.step(TOLD_S)
            except CrossRecError as error:
                self._note(str(error))
                self._stopping.wait(TOLD_S)
            else:
                self._note("")

    def step(self, wait_s: float) -> None:
        """Bring scenarios, changed rows, and some that are old or were never read. Raises StoreUnavailable."""
        ids = self._scenarios.keep_young().ids
        waiting = self._items.oldest(BATCH)
        if waiting:
            self._items.read(waiting, ids)
        more = self._read_more()
        self._listen(0.0 if more or len(waiting) == BATCH else wait_s)

    def _read_more(self) -> bool:
        """Read the next items of those to begin with; whether there were any."""
        batch = list(islice(self._to_read, BATCH))
        if batch:
            self._items.read(batch, self._scenarios.current().ids)
        else:
            self.filled.set()
        return bool(batch)

    def _listen(self, wait_s: float) -> None:
        begun_s = self._clock()
        changed = self._changes.take(wait_s)
        if changed is None:
            self._items.forget_ages()
            return
        facets = {int(key) for (key,) in changed.pop(FACET_VIEW, set())}
        items = {key[0] for keys in changed.values() for key in keys}
        if items or facets:
            self._items.note(items, facets)
            self._items.reread_changed(items, facets, self._scenarios.current().ids)
        self._items.synced(begun_s)

    def _note(self, failing: str) -> None:
        if failing and failing != self._failing:
            log_event(_logger, "refresh_failing", level=logging.WARNING, reason=failing)
        if self._failing and not failing:
            log_event(_logger, "refresh_recovered")
        self._failing = failing
