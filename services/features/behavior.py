"""Folds behaviour events into the rows of users: counts, language, tables of items and facets.

The views `user` and `user_scenario` share the code; a row is told what concerns it by `row`. Folding is a sum
of decayed contributions, so neither order nor batch borders matter; what was folded before is skipped by
position, what a producer sent twice by the verdicts on the events.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from services.features.config import EVENT_TYPES, FeatureConfig, TableName
from services.features.decay import factors
from services.features.dedup import Verdicts, judge, remember
from services.features.hashing import NO_KEY
from services.features.rows import Block, Floats, Ints, Ragged, fresh, newest_position
from services.features.schema import Schema
from services.features.tables import Table, columns_of, evict, merge, table_of


@dataclass(frozen=True)
class Events:
    """Behaviour events side by side, in offset order per partition, with what is known of their items.

    Args:
        user: [E] user ids.
        scenario: [E] scenario ids.
        item: [E] item ids, "" for none.
        type: [E] index into EVENT_TYPES.
        time_s: [E] seconds since 1970.
        value: [E] price or rating, NaN for none.
        event_key: [E] key of the event id.
        position: [E, 3] topic epoch, partition, offset.
        item_key: [E] key of the item id, NO_KEY for none.
        facet_key: [E, F] keys of the item's facets.
        text_vector: [E, D] vector of the item's text plus vector of the event's own text.
    """

    user: NDArray[np.object_]
    scenario: NDArray[np.object_]
    item: NDArray[np.object_]
    type: Ints
    time_s: Floats
    value: Floats
    event_key: Ints
    position: Ints
    item_key: Ints
    facet_key: Ints
    text_vector: Floats

    def __len__(self) -> int:
        return len(self.type)

    def take(self, index: NDArray[np.generic]) -> "Events":
        """The events at `index` (integers or a mask)."""
        return Events(*(getattr(self, name)[index] for name in self.__dataclass_fields__))


def engagement_of(config: FeatureConfig, types: Ints) -> Floats:
    """Engagement weight of each event type index."""
    result: Floats = _weights(tuple(config.engagement.items()))[types]
    return result


@lru_cache
def _weights(engagement: tuple[tuple[str, float], ...]) -> Floats:
    weights = dict(engagement)
    return np.array([weights.get(name, 0.0) for name in EVENT_TYPES])


def fold(schema: Schema, block: Block, row: Ints, events: Events, verdicts: Verdicts, encoder: int) -> Block:
    """The block after the events; `row` [E] says which of its rows each event concerns.

    Args:
        schema: the feature schema.
        block: rows of the view `user` or `user_scenario`.
        row: index into the block, per event.
        events: the events, in offset order.
        verdicts: what they are to their users.
        encoder: fingerprint of the encoder of events.text_vector; a language vector of another encoder is
            dropped.
    """
    chosen = np.flatnonzero(fresh(block, row, events.position) & verdicts.counted)
    position = newest_position(block, row, events.position)
    kept, kept_row = events.take(chosen), row[chosen]
    time_s = np.maximum(block.floats("time_s"), _newest(kept_row, kept.time_s, block.size))
    touched = (position != block.ints("position")).any(axis=1)
    fixed = {
        "time_s": time_s,
        "counts": _counts(schema, block, kept_row, kept, time_s),
        "language": _language(schema, block, kept_row, kept, time_s, encoder),
        "encoder": np.where(touched, encoder, block.ints("encoder")),
        "position": position,
        "schema": np.where(touched, schema.fingerprint, block.ints("schema")),
    }
    remembers = "event_ids" in block.ragged
    memory = remember(schema.config, block, row, events, verdicts) if remembers else {}
    return block.with_columns(fixed, {**_tables(schema, block, kept_row, kept), **memory})


def verdicts_on(schema: Schema, block: Block, row: Ints, events: Events) -> Verdicts:
    """What the events are to their users; `block` holds the rows of `user`, `row` [E] says which is whose."""
    return judge(schema, block, row, events, engagement_of(schema.config, events.type))


def _newest(row: Ints, time_s: Floats, rows: int) -> Floats:
    newest = np.zeros(rows)
    np.maximum.at(newest, row, time_s)
    return newest


def _counts(schema: Schema, block: Block, row: Ints, events: Events, time_s: Floats) -> Floats:
    half_lives = schema.config.half_lives_s
    counts = block.floats("counts").reshape(block.size, len(EVENT_TYPES), len(half_lives))
    counts = counts * factors(time_s - block.floats("time_s"), half_lives)[:, None, :]
    np.add.at(counts, (row, events.type), factors(time_s[row] - events.time_s, half_lives))
    result: Floats = counts.reshape(block.size, -1)
    return result


def _language(schema: Schema, block: Block, row: Ints, events: Events, time_s: Floats, encoder: int) -> Floats:
    longest = schema.config.half_lives_s[-1:]
    known = (block.ints("encoder") == encoder)[:, None]
    language = np.where(known, block.floats("language"), 0.0) * factors(time_s - block.floats("time_s"), longest)
    query = events.type == EVENT_TYPES.index("query")
    weight = np.where(query, 1.0, engagement_of(schema.config, events.type))
    decayed = (weight * factors(time_s[row] - events.time_s, longest)[:, 0])[:, None]
    np.add.at(language, row, events.text_vector * decayed)
    return language


def price_paid(events: Events) -> tuple[Floats, NDArray[np.bool_]]:
    """log(1 + price) of purchases with a price, 0 for other events, and which those are: [E], [E]."""
    paid = (events.type == EVENT_TYPES.index("purchase")) & np.isfinite(events.value)
    return np.where(paid, np.log1p(np.maximum(np.where(paid, events.value, 0.0), 0.0)), 0.0), paid


def _tables(schema: Schema, block: Block, row: Ints, events: Events) -> dict[str, Ragged]:
    """The tables of the rows after the events. An item or facet enters by its first engagement, or impression."""
    config = schema.config
    overall = block.view.name == "user"
    facets = config.user_facets if overall else config.user_scenario_facets
    limits: dict[TableName, int] = {
        "item": config.user_items if overall else config.user_scenario_items,
        "facet": facets,
        **({"seen": facets} if overall else {}),
    }
    levels = events.facet_key.shape[1]
    wide, facet = np.repeat(np.arange(len(events)), levels), events.facet_key.reshape(-1)
    columns: dict[str, Ragged] = {}
    for name, limit in limits.items():
        event, key = (np.arange(len(events)), events.item_key) if name == "item" else (wide, facet)
        values = _entry_values(config, name, events)[event]
        use = (key != NO_KEY) & (values[:, 0] > 0)
        time_s = events.time_s[event[use]]
        new = Table(row[event[use]], key[use], time_s, time_s, values[use])
        half_lives = config.table_half_lives(name)
        merged = merge(table_of(config, block, name), new, half_lives)
        strength = min(len(config.half_lives_s), len(half_lives)) - 1
        columns |= columns_of(evict(merged, limit, strength, half_lives[strength]), name, block.size)
    return columns


def _entry_values(config: FeatureConfig, name: TableName, events: Events) -> Floats:
    """What each event adds to an entry of the table, [E, values]."""
    if name == "seen":
        shown: Floats = (events.type == EVENT_TYPES.index("impression")).astype(np.float64)
        return shown[:, None]
    weight = np.repeat(engagement_of(config, events.type)[:, None], len(config.half_lives_s), axis=1)
    if name == "item":
        return weight
    log_price, paid = price_paid(events)
    return np.column_stack([weight, log_price, paid])
