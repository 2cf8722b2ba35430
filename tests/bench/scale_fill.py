"""Fills the online store with a synthetic shop, in several processes, and writes some of its rows continuously.

Writes through FeastRowStore, as consumers do; knows nothing of readers.
"""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context

import numpy as np

from services.features.schema import build_schema
from services.settings.load import Settings
from services.store.connect import open_rows_for_batches
from services.store.feast_registry import apply_definitions
from services.store.protocol import Key
from services.store.redis.feast_rows import FeastRowStore
from services.store.schema_lineage import join_lineage
from tests.bench.scale_rows import SyntheticShop, item_id

PROCESSES = 2
PART = 20
"""Chunks per task of a process."""

WRITES_PER_S = 20


def fill_shop(settings: Settings, shop: SyntheticShop) -> float:
    """Write all rows; returns the elapsed seconds."""
    begun_s = time.monotonic()
    apply_definitions(settings)
    join_lineage(open_rows_for_batches(settings), shop.schema)
    parts = [
        (kind, range(begin, min(begin + PART, chunks)))
        for kind, (_, chunks) in enumerate(shop.chunks())
        for begin in range(0, chunks, PART)
    ]
    # Spawned, not forked: a fork would share this process's connections.
    with ProcessPoolExecutor(PROCESSES, get_context("spawn"), _open, (settings, shop.items, shop.users)) as pool:
        for written in [pool.submit(_write, *part) for part in parts]:
            written.result()
    return time.monotonic() - begun_s


class _Writer:
    """State of one process of the pool."""

    shop: SyntheticShop
    rows: FeastRowStore


def _open(settings: Settings, items: int, users: int) -> None:
    _Writer.shop, _Writer.rows = (
        SyntheticShop(build_schema(settings.features), items, users),
        open_rows_for_batches(settings),
    )


def _write(kind: int, chunks: range) -> None:
    make, _ = _Writer.shop.chunks()[kind]
    for chunk in chunks:
        for keys, block in make(chunk):
            _Writer.rows.write(keys, block)


class ActivityWriter:
    """Writes activity of random items at a fixed rate until stopped; overdue writes are done late, not dropped.

    Args:
        rows: the online store.
        shop: the shop with the items.
        rows_per_s: rate.
    """

    def __init__(self, rows: FeastRowStore, shop: SyntheticShop, rows_per_s: int) -> None:
        self._rows, self._shop, self._batch = rows, shop, max(1, rows_per_s // WRITES_PER_S)
        self._pause_s, self.written, self.seconds = self._batch / rows_per_s, 0, 0.0
        self.stop = threading.Event()

    def run(self) -> None:
        """Write until `stop` is set."""
        random, begun_s = np.random.default_rng(0), time.monotonic()
        while not self.stop.wait(max(0.0, begun_s + self.written / self._batch * self._pause_s - time.monotonic())):
            numbers = random.choice(self._shop.items, self._batch, replace=False)
            keys: list[Key] = [(item_id(number),) for number in numbers.tolist()]
            self._rows.write(keys, self._shop.item_activity(len(keys), random))
            self.written += len(keys)
        self.seconds = time.monotonic() - begun_s


@contextmanager
def background_writes(rows: FeastRowStore, shop: SyntheticShop, rows_per_s: int) -> Iterator[ActivityWriter]:
    """Run the writes in a thread; raises their error at exit."""
    writes = ActivityWriter(rows, shop, rows_per_s)
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(writes.run)
        try:
            yield writes
        finally:
            writes.stop.set()
    running.result()
