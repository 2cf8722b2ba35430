"""A synthetic shop of any size: seeded rows of items, facets, scenarios and users, in chunks.

Chunk k does not depend on the size of the shop, except for brands (a larger shop has more) and the items that users
engaged with. Counts are long-tailed as in real shops. Knows the feature schema and numbers; knows no store.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.features.config import DAY_S, AttributeEntity, TableName
from services.features.hashing import key64
from services.features.rows import Block, Floats, Ints, Ragged, default_block
from services.features.schema import Schema
from services.store.folding import SCENARIO_INDEX_KEY
from services.store.protocol import Key

ENCODER = 7
"""Fingerprint of a text encoder that does not exist."""

NOW_S = 1_700_000_000.0
"""Time of the newest rows, seconds since 1970."""

SCENARIOS = tuple(f"scenario-{number}" for number in range(6))
CHUNK = 1000
"""Items, users or facets per chunk."""

BROADEST, CHILDREN = 40, 10
"""Categories of the broadest level, and subcategories per category."""

ITEMS_PER_BRAND = 20
BOTH = 0.5
"""Probability that an item is in two scenarios instead of one."""

USER_TABLES: dict[TableName, int] = {"item": 24, "facet": 32, "seen": 16}
SCENARIO_TABLES: dict[TableName, int] = {"item": 12, "facet": 16}
"""Mean number of entries in the tables of a user, and of a user in a scenario."""

EVENT_IDS = 8

Written = tuple[list[Key], Block]
"""Rows of a view with their keys."""

Columns = dict[str, NDArray[Any]]

NO_LISTS: Mapping[str, Ragged] = {}


@dataclass(frozen=True)
class SyntheticShop:
    """A synthetic shop.

    Args:
        schema: the feature schema.
        items: number of items.
        users: number of users.
    """

    schema: Schema
    items: int
    users: int

    @property
    def levels(self) -> list[int]:
        """Number of values of each facet: categories broad to fine, then brands."""
        categories = [BROADEST * CHILDREN**level for level in range(self.schema.config.category_levels)]
        return [*categories, max(1, self.items // ITEMS_PER_BRAND)]

    def chunks(self) -> list[tuple[Callable[[int], Iterator[Written]], int]]:
        """Row generators, each with its number of chunks."""
        made = (self.scenario_rows, 1), (self.facet_rows, sum(self.levels))
        return [
            (make, -(-size // CHUNK))
            for make, size in (*made, (self.item_rows, self.items), (self.user_rows, self.users))
        ]

    def scenario_rows(self, _: int) -> Iterator[Written]:
        """The scenarios, their activity and their index."""
        random, count = np.random.default_rng([0, 0]), len(SCENARIOS)
        keys: list[Key] = [(scenario,) for scenario in SCENARIOS]
        named = {"name": np.array(SCENARIOS, object), "updated_s": _times(count, random)}
        yield keys, self._block("scenario", count, {**named, **self._texts(count, random)})
        hours = {"hours": random.random((count, 24))}
        yield keys, self._block("scenario_activity", count, {**hours, **self._counts(count, random)})
        index = {"scenario_ids": Ragged(np.array(SCENARIOS, object), np.array([count]))}
        yield [SCENARIO_INDEX_KEY], self._block("scenario_index", 1, {}, index)

    def facet_rows(self, chunk: int) -> Iterator[Written]:
        """Activity of all users on a chunk of facets."""
        random = np.random.default_rng([1, chunk])
        names = [(level, number) for level, count in enumerate(self.levels) for number in range(count)]
        keys: list[Key] = [(str(facet_key(*name)),) for name in names[chunk * CHUNK : (chunk + 1) * CHUNK]]
        yield keys, self._block("facet_activity", len(keys), self._activity(len(keys), random))

    def item_rows(self, chunk: int) -> Iterator[Written]:
        """A chunk of items: descriptions, activity, and both in one or two scenarios."""
        random, ids = np.random.default_rng([2, chunk]), [item_id(number) for number in _numbers(chunk, self.items)]
        keys: list[Key] = [(item,) for item in ids]
        yield keys, self._block("item", len(ids), self._item_columns(len(ids), random))
        yield keys, self.item_activity(len(ids), random)
        pairs = _pairs(ids, random, BOTH)
        described = {
            "attributes": random.lognormal(1.0, 1.0, (len(pairs), self._width("item_scenario"))),
            "updated_s": _times(len(pairs), random),
        }
        yield pairs, self._block("item_scenario", len(pairs), described)
        yield pairs, self._block("item_scenario_activity", len(pairs), self._counts(len(pairs), random))

    def item_activity(self, count: int, random: np.random.Generator) -> Block:
        """Activity of all users on `count` items."""
        last = {"last_value": random.lognormal(2.0, 1.0, count), "last_value_s": _times(count, random)}
        return self._block("item_activity", count, {**last, **self._activity(count, random)})

    def user_rows(self, chunk: int) -> Iterator[Written]:
        """A chunk of users, each in two scenarios."""
        random, ids = np.random.default_rng([3, chunk]), [user_id(number) for number in _numbers(chunk, self.users)]
        pairs, events = _pairs(ids, random, 1.0), np.full(len(ids), EVENT_IDS)
        lists = {"scenario_ids": Ragged(np.array([scenario for _, scenario in pairs], object), np.full(len(ids), 2))}
        for name in ("event_ids", "event_seqs", "event_engaged_before"):
            lists[name] = Ragged(random.integers(1, 2**62, len(ids) * EVENT_IDS), events)
        yield [(user,) for user in ids], self._user("user", len(ids), USER_TABLES, lists, random)
        yield pairs, self._user("user_scenario", len(pairs), SCENARIO_TABLES, {}, random)

    def _item_columns(self, count: int, random: np.random.Generator) -> Columns:
        """Columns of `item`."""
        *categories, brands = self.levels
        finest = random.integers(categories[-1], size=count)
        numbers = [finest // (categories[-1] // size) for size in categories]
        numbers.append((brands * random.random(count) ** 2).astype(np.int64))
        keys = [[facet_key(level, number) for number in column.tolist()] for level, column in enumerate(numbers)]
        return {
            **self._texts(count, random),
            "title": np.array([f"product {number}" for number in finest.tolist()], object),
            "updated_s": _times(count, random),
            "created_s": _times(count, random),
            "facet_keys": np.array(keys, np.int64).T,
            "price": random.lognormal(2.0, 1.0, count),
            "attributes": random.integers(2, size=(count, self._width("item"))).astype(float),
        }

    def _user(
        self,
        view: str,
        count: int,
        tables: Mapping[TableName, int],
        lists: Mapping[str, Ragged],
        random: np.random.Generator,
    ) -> Block:
        columns = {**self._counts(count, random), "language": random.normal(size=(count, self.schema.config.text_dims))}
        columns["encoder"] = np.full(count, ENCODER)
        filled = dict(lists)
        for table, mean in tables.items():
            filled |= self._table(table, random.poisson(mean, count), random)
        return self._block(view, count, columns, filled)

    def _table(self, table: TableName, lengths: Ints, random: np.random.Generator) -> dict[str, Ragged]:
        """Columns of one table of users."""
        entries, values = int(lengths.sum()), len(self.schema.config.table_half_lives(table))
        newest = _times(entries, random)
        return {
            f"{table}_key": Ragged(self._table_keys(table, entries, random), lengths),
            f"{table}_first_s": Ragged(newest - random.exponential(1e6, entries), lengths),
            f"{table}_s": Ragged(newest, lengths),
            f"{table}_value": Ragged(random.exponential(1.0, entries * values), lengths * values),
        }

    def _table_keys(self, table: TableName, entries: int, random: np.random.Generator) -> Ints:
        if table == "item":
            return np.array([key64(item_id(number)) for number in random.integers(self.items, size=entries).tolist()])
        level = random.integers(len(self.levels), size=entries)
        numbers = (np.array(self.levels)[level] * random.random(entries)).astype(np.int64)
        return np.array([facet_key(*name) for name in zip(level.tolist(), numbers.tolist(), strict=True)], np.int64)

    def _texts(self, count: int, random: np.random.Generator) -> Columns:
        """Random unit text vectors."""
        vectors = random.normal(size=(count, self.schema.config.text_dims))
        return {
            "text_vector": vectors / np.linalg.norm(vectors, axis=1, keepdims=True),
            "encoder": np.full(count, ENCODER),
        }

    def _counts(self, count: int, random: np.random.Generator) -> Columns:
        """Decayed event counts: a few rows have most of them."""
        shape = count, self.schema.count_length
        return {"time_s": _times(count, random), "counts": random.lognormal(0.0, 2.0, shape)}

    def _activity(self, count: int, random: np.random.Generator) -> Columns:
        """Activity of all users on items or facets."""
        prices = random.exponential(5.0, count)
        return {
            **self._counts(count, random),
            "repeat_engagement": random.lognormal(0.0, 1.0, (count, len(self.schema.config.half_lives_s))),
            "unique_users": np.floor(random.lognormal(2.0, 2.0, count)),
            "paid": np.column_stack([2.0 * prices, prices]),
        }

    def _width(self, entity: AttributeEntity) -> int:
        return len(self.schema.config.numbers_of(entity))

    def _block(self, view: str, count: int, columns: Columns, lists: Mapping[str, Ragged] = NO_LISTS) -> Block:
        """Rows under the current schema; missing columns have their defaults."""
        written = {"position": np.zeros((count, 3), np.int64), "schema": np.full(count, self.schema.fingerprint)}
        return default_block(self.schema[view], count).with_columns({**columns, **written}, dict(lists))


def item_id(number: int) -> str:
    """The id of an item."""
    return f"item-{number:07d}"


def user_id(number: int) -> str:
    """The id of a user."""
    return f"user-{number:07d}"


@cache
def facet_key(level: int, number: int) -> int:
    """The key of a value of a facet."""
    return key64(f"{level}/{number}")


def _numbers(chunk: int, count: int) -> range:
    return range(chunk * CHUNK, min((chunk + 1) * CHUNK, count))


def _times(count: int, random: np.random.Generator) -> Floats:
    """Times before NOW_S, most within the last days."""
    return NOW_S - random.exponential(3 * DAY_S, count)


def _pairs(ids: Sequence[str], random: np.random.Generator, both: float) -> list[Key]:
    """Each id with one scenario, and with probability `both` with a second one."""
    first = random.integers(len(SCENARIOS), size=len(ids))
    second = (first + random.integers(1, len(SCENARIOS), size=len(ids))) % len(SCENARIOS)
    two = random.random(len(ids)) < both
    places = zip(ids, np.column_stack([first, second]).tolist(), two.tolist(), strict=True)
    return [(name, SCENARIOS[place]) for name, found, again in places for place in found[: 1 + again]]
