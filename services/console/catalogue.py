"""Names in the online store: scenarios, a bounded sample of items and users, and titles.

Rows of items and scenarios hold their names, so that names and rankings come from the same store. Knows rows; calls no
server.
"""

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Protocol

from services.features.catalogue import is_deleted
from services.features.decay import decay_factors
from services.features.events import engagement_by_type
from services.features.rows import Block, counts_by_type
from services.features.schema import Schema, View
from services.store.folding import read_scenario_ids
from services.store.protocol import Key, RowStore, read_block, read_rows

MOST_ITEMS = 20_000
"""Most items that are read to find the popular ones; of a larger catalogue a sample."""

MOST_USERS = 100
READ_ROWS = 2000
"""Rows of one read."""

LONG_AGO_S = 7 * 86_400.0


class ListableRows(RowStore, Protocol):
    """A store that can list its keys, too."""

    def ids(self, view: View) -> Iterator[Key]:
        """Keys of rows that the view may have. Raises StoreUnavailable."""
        ...


@dataclass(frozen=True)
class KnownNames:
    """The names that forms suggest.

    Args:
        scenarios: name by id, in the order of ids.
        items: ids of the read items, most popular first.
        titles: title by item, where known.
        users: ids of some users.
        newest_s: time of the newest event of any scenario, seconds since 1970; 0: none.
        sampled: whether there are more items than were read.
    """

    scenarios: Mapping[str, str] = field(default_factory=dict)
    items: Sequence[str] = ()
    titles: Mapping[str, str] = field(default_factory=dict)
    users: Sequence[str] = ()
    newest_s: float = 0.0
    sampled: bool = False

    def is_past(self, now_s: float) -> bool:
        """Whether the newest event is so old that features have decayed by now."""
        return 0 < self.newest_s < now_s - LONG_AGO_S


class Catalogue:
    """Names of the online store, read again when they are older than `age_s`. Thread-safe.

    Args:
        store: the online store.
        schema: the feature schema.
        age_s: seconds until they are read again.
        clock: monotonic seconds.
    """

    def __init__(
        self, store: ListableRows, schema: Schema, age_s: float = 60.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._store, self._schema, self._age_s, self._clock = store, schema, age_s, clock
        self._title_rows = _only(schema["item"], "title", "updated_s")
        self._lock, self._known, self._read_at = threading.Lock(), KnownNames(), -float("inf")

    def current(self) -> KnownNames:
        """The names that forms suggest. Raises StoreUnavailable."""
        with self._lock:
            if self._clock() - self._read_at > self._age_s:
                self._known, self._read_at = read_known(self._store, self._schema, self._title_rows), self._clock()
            return self._known

    def titles(self, items: Sequence[str]) -> dict[str, str]:
        """Titles of these items; the id where there is none. Raises StoreUnavailable."""
        known = self.current().titles
        missing = [item for item in items if item not in known]
        found = {**known, **read_titles(self._store, self._title_rows, missing)}
        return {item: found.get(item) or item for item in items}


def read_known(store: ListableRows, schema: Schema, title_rows: View) -> KnownNames:
    """Read all names, in a few reads. Raises StoreUnavailable."""
    ids = [item for (item,) in islice(store.ids(schema["item"]), MOST_ITEMS + 1)]
    items, sampled = ids[:MOST_ITEMS], len(ids) > MOST_ITEMS
    popular = popularity(schema, read_in_parts(store, _only(schema["item_activity"], "counts", "time_s"), items))
    titles = read_titles(store, title_rows, items)
    names, newest_s = read_scenarios(store, schema)
    order = sorted(range(len(items)), key=lambda place: (-popular[place], items[place]))
    users = tuple(sorted(user for (user,) in islice(store.ids(schema["user"]), MOST_USERS)))
    described = tuple(items[place] for place in order if items[place] in titles)
    return KnownNames(names, described, titles, users, newest_s, sampled)


def read_titles(store: RowStore, title_rows: View, items: Sequence[str]) -> dict[str, str]:
    """Title by item, of those that are not deleted."""
    found: dict[str, str] = {}
    for part in _parts(items):
        rows = read_rows(store, title_rows, [(item,) for item in part])
        found |= {item: str(row["title"]) for item, row in zip(part, rows, strict=True) if row and not is_deleted(row)}
    return found


def read_scenarios(store: RowStore, schema: Schema) -> tuple[dict[str, str], float]:
    """Name by scenario, and the time of the newest event in any, seconds since 1970."""
    ids = read_scenario_ids(store, schema)
    keys: list[Key] = [(scenario,) for scenario in ids]
    rows = read_rows(store, schema["scenario"], keys)
    newest = read_block(store, schema["scenario_activity"], keys).floats("time_s")
    names = {name: str(row["name"]) if row else "" for name, row in zip(ids, rows, strict=True)}
    return {name: title or name for name, title in names.items()}, float(newest.max(initial=0.0))


def read_in_parts(store: RowStore, view: View, items: Sequence[str]) -> list[Block]:
    """The rows of many items, in several reads."""
    return [read_block(store, view, [(item,) for item in part]) for part in _parts(items)]


def popularity(schema: Schema, blocks: Sequence[Block]) -> list[float]:
    """Engagement with each item under the longest half-life, all as of the newest event of any."""
    config = schema.config
    newest = max((float(block.floats("time_s").max(initial=0.0)) for block in blocks), default=0.0)
    weights = engagement_by_type(config)
    found: list[float] = []
    for block in blocks:
        counts = counts_by_type(block, len(config.half_lives_s))[:, :, -1]
        remaining = decay_factors(newest - block.floats("time_s"), config.half_lives_s[-1:])[:, 0]
        found += (counts @ weights * remaining).tolist()
    return found


def _parts(items: Sequence[str]) -> Iterator[Sequence[str]]:
    return (items[begin : begin + READ_ROWS] for begin in range(0, len(items), READ_ROWS))


def _only(view: View, *names: str) -> View:
    """The view with these features and its bookkeeping columns only."""
    others = {feature.name for feature in view.features} - {*names, "position", "schema"}
    return view.without(*others)
