"""Folds behaviour events into the rows of users: counts, language, tables of items and facets.

The views `user` and `user_scenario` share the code; `row` maps each event to its row. Folding is a sum of decayed
contributions, so neither order nor batch borders matter. Events that were folded before are skipped by position,
duplicates of a producer by the events' flags.
"""

import numpy as np

from services.features.config import FeatureConfig, TableName
from services.features.decay import decay_factors
from services.features.dedup import EventFlags, record_event_ids
from services.features.event_types import IMPRESSION
from services.features.events import Events, engagement_weights, is_disliked, language_weights, price_paid
from services.features.hashing import NO_KEY
from services.features.opinions import age_opinions, entry_counts, entry_values, sum_opinions
from services.features.rows import Block, Floats, Ints, Ragged, counts_by_type, is_new, newest_position
from services.features.schema import Schema
from services.features.tables import Table, evict, merge, read_table, table_columns


def fold(schema: Schema, block: Block, row: Ints, events: Events, flags: EventFlags, encoder: int) -> Block:
    """Fold events into a block; returns the block after them.

    Args:
        schema: the feature schema.
        block: rows of the view `user` or `user_scenario`.
        row: [E] index into the block, per event.
        events: the events, in offset order.
        flags: flags of each event, by `classify_events`.
        encoder: fingerprint of the encoder of events.text_vector; a language vector of another encoder is
            dropped.
    """
    chosen = np.flatnonzero(is_new(block, row, events.position) & flags.counted)
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
    if "opinions" in block.fixed:
        fixed["opinions"] = _opinions(schema, block, kept_row, kept, time_s)
    has_ids = "event_ids" in block.ragged
    event_ids = record_event_ids(schema.config, block, row, events, flags) if has_ids else {}
    return block.with_columns(fixed, {**_tables(schema, block, kept_row, kept), **event_ids})


def _newest(row: Ints, time_s: Floats, rows: int) -> Floats:
    newest = np.zeros(rows)
    np.maximum.at(newest, row, time_s)
    return newest


def _counts(schema: Schema, block: Block, row: Ints, events: Events, time_s: Floats) -> Floats:
    half_lives = schema.config.half_lives_s
    counts = (
        counts_by_type(block, len(half_lives)) * decay_factors(time_s - block.floats("time_s"), half_lives)[:, None, :]
    )
    added = decay_factors(time_s[row] - events.time_s, half_lives)
    if schema.config.liked_from:
        added[is_disliked(schema.config, events)] = 0.0
    np.add.at(counts, (row, events.type), added)
    result: Floats = counts.reshape(block.size, -1)
    return result


def _opinions(schema: Schema, block: Block, row: Ints, events: Events, time_s: Floats) -> Floats:
    config = schema.config
    aged = age_opinions(config, block.floats("opinions"), time_s - block.floats("time_s"))
    return aged + sum_opinions(config, events, row, block.size, time_s[row] - events.time_s)


def _language(schema: Schema, block: Block, row: Ints, events: Events, time_s: Floats, encoder: int) -> Floats:
    longest = schema.config.half_lives_s[-1:]
    known = (block.ints("encoder") == encoder)[:, None]
    language = np.where(known, block.floats("language"), 0.0) * decay_factors(time_s - block.floats("time_s"), longest)
    weight = language_weights(schema.config, events)
    decayed = (weight * decay_factors(time_s[row] - events.time_s, longest)[:, 0])[:, None]
    np.add.at(language, row, events.text_vector * decayed)
    return language


def _tables(schema: Schema, block: Block, row: Ints, events: Events) -> dict[str, Ragged]:
    """The tables of the rows after the events. An item or facet is added by its first engagement, or impression."""
    config = schema.config
    overall = block.view.name == "user"
    facets = config.user_facets if overall else config.user_scenario_facets
    limits: dict[TableName, int] = {
        "item": config.user_items if overall else config.user_scenario_items,
        "facet": facets,
        **({"seen": facets} if overall else {}),
        **({"opinion_item": config.user_items, "opinion_facet": facets} if overall and config.liked_from else {}),
    }
    levels = events.facet_key.shape[1]
    wide, facet = np.repeat(np.arange(len(events)), levels), events.facet_key.reshape(-1)
    columns: dict[str, Ragged] = {}
    for name, limit in limits.items():
        event, key = (np.arange(len(events)), events.item_key) if name.endswith("item") else (wide, facet)
        values = _entry_values(config, name, events)[event]
        use = (key != NO_KEY) & (_strengths(config, name, values) > 0)
        time_s = events.time_s[event[use]]
        new = Table(row[event[use]], key[use], time_s, time_s, values[use])
        half_lives = config.table_half_lives(name)
        merged = merge(read_table(config, block, name), new, half_lives)
        kept = evict(merged, limit, _strengths(config, name, merged.value), config.half_lives_s[-1])
        columns |= table_columns(kept, name, block.size)
    return columns


def _strengths(config: FeatureConfig, name: TableName, values: Floats) -> Floats:
    """What counts of entries [E, values] where a table is full, under the longest half-life: [E]."""
    if name.startswith("opinion"):
        return entry_counts(config, values)
    strengths: Floats = values[:, min(len(config.half_lives_s), values.shape[1]) - 1]
    return strengths


def _entry_values(config: FeatureConfig, name: TableName, events: Events) -> Floats:
    """The addition of each event to its entry of the table, [E, values]."""
    if name == "seen":
        shown: Floats = (events.type == IMPRESSION).astype(np.float64)
        return shown[:, None]
    if name.startswith("opinion"):
        return entry_values(config, events)
    weight = np.repeat(engagement_weights(config, events)[:, None], len(config.half_lives_s), axis=1)
    if name == "item":
        return weight
    log_price, paid = price_paid(events)
    return np.column_stack([weight, log_price, paid])
