"""Folding of a batch of events or updates into stored rows: read the rows, fold, write them.

Consumers fold Kafka's batches into the online store, the replay folds stretches of history into memory: with the same
code, so that training and serving rows agree. Knows no broker and no protobuf.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from services.features import activity, behavior, catalogue, profile
from services.features.activity import DeltaColumns
from services.features.dedup import EventFlags, classify_events
from services.features.events import Events
from services.features.hashing import keys64
from services.features.positions import is_behind, is_folded
from services.features.profile import ProfileUpdates, no_updates
from services.features.rows import Block, Floats, Ints, pack_rows, scatter_rows, unpack_rows
from services.features.schema import Schema, View
from services.store.protocol import Key, RowStore, read_block, read_rows
from services.store.user_scenarios import write_user_scenarios

SCENARIO_INDEX_KEY: Key = ("all",)
"""Key of the row that lists all scenarios."""


def group_keys(keys: Sequence[Key]) -> tuple[list[Key], Ints]:
    """The distinct keys in order of first appearance, and the index of each given key among them."""
    index: dict[Key, int] = {}
    rows = np.array([index.setdefault(key, len(index)) for key in keys], np.int64)
    return list(index), rows


def collect_facets(items: Block) -> tuple[list[Key], Ints]:
    """Keys in `facet_activity` of all facets of rows of `item`, and the index of each facet among them, [I, F].

    The key of 'no facet' is included; it has no row.
    """
    keys = items.ints("facet_keys")
    distinct, index = np.unique(keys, return_inverse=True)
    return [(str(key),) for key in distinct.tolist()], index.reshape(keys.shape)


def attach_items(store: RowStore, schema: Schema, events: Events, encoder: int) -> Events:
    """The events with facets and text vectors of their items, as the store holds them now."""
    items, index = group_keys([(item,) for item in events.item])
    there = np.array([bool(item) for (item,) in items], bool)
    block = read_block(store, schema["item"], [key for key in items if key[0]])
    return attach_item_rows(events, items, index, block if there.all() else scatter_rows(block, there), encoder)


def attach_item_rows(events: Events, items: Sequence[Key], index: Ints, block: Block, encoder: int) -> Events:
    """The events with facets and text vectors of rows of items.

    Args:
        events: the events.
        items: keys of the rows, some of which may be versions of one row; an event without an item has key "".
        index: [E] row of each event.
        block: rows of `item`.
        encoder: fingerprint of the encoder; vectors of another one count as missing.
    """
    same = (block.ints("encoder") == encoder)[:, None]
    vectors = np.where(same, block.floats("text_vector"), 0.0)
    return replace(
        events,
        item_key=keys64(item for (item,) in items)[index],
        facet_key=block.ints("facet_keys")[index],
        text_vector=events.text_vector + vectors[index],
    )


def fold_users(
    store: RowStore, schema: Schema, events: Events, encoder: int, updates: ProfileUpdates | None = None
) -> EventFlags:
    """Fold events, enriched by `attach_items`, into the rows of their users; returns the flags of each.

    `updates` of users' attributes, from the same stretch of the stream, are folded with them: a row has one position.
    Rows per scenario are written first: the row of the user, written last, lists their scenarios and holds the flags.
    """
    updates = updates if updates is not None and schema.config.attributes_of("user") else no_updates()
    if not len(events) and not len(updates):
        return _no_flags(schema)
    users, rows = group_keys([(user,) for user in (*events.user, *updates.user)])
    user_row, update_row = rows[: len(events)], rows[len(events) :]
    block = read_block(store, schema["user"], users)
    if not len(events):
        store.write(users, profile.fold(schema, block, block, update_row, updates))
        return _no_flags(schema)
    flags = classify_events(schema, block, user_row, events)
    pairs, pair_row = group_keys(list(zip(events.user, events.scenario, strict=True)))
    pair_block = read_block(store, schema["user_scenario"], pairs)
    folded = behavior.fold(schema, pair_block, pair_row, events, flags, encoder)
    scenarios = write_user_scenarios(store, schema, users, block, pairs, pair_block, folded)
    after = behavior.fold(schema, block, user_row, events, flags, encoder)
    if len(updates):
        after = profile.fold(schema, block, after, update_row, updates)
    store.write(users, scenarios.listed_in(after))
    return flags


def _no_flags(schema: Schema) -> EventFlags:
    width = 1 + len(schema.config.facets)
    return EventFlags(np.zeros(0, bool), np.zeros((0, width), bool), np.zeros(0, np.int64))


def erase_user(store: RowStore, schema: Schema, user: str, time_s: float, position: Sequence[int]) -> None:
    """Delete every row of a user that holds no later event than the erasure at `position`.

    A mark remains, so that events from before the erasure at `time_s` (seconds since 1970) restore nothing.
    """
    mark, view, key = schema["erased_user"], schema["user"], (user,)
    (known,) = read_rows(store, mark, [key])
    newest = time_s if known is None else max(time_s, float(known["erased_s"]))
    if known is None or not is_behind(position, known["position"]):
        values = {"erased_s": newest, "position": position, "schema": schema.fingerprint}
        store.write([key], pack_rows(mark, [{name: np.array(value) for name, value in values.items()}]))
    (row,) = read_rows(store, view, [key])
    if row is not None and is_behind(position, row["position"]):
        return
    pairs: list[Key] = [] if row is None else [(user, scenario) for scenario in row["scenario_ids"].tolist()]
    store.delete(schema["user_scenario"], pairs, position)
    store.delete(view, [key], position)


def drop_erased(
    store: RowStore, schema: Schema, events: Events, updates: ProfileUpdates
) -> tuple[Events, ProfileUpdates]:
    """Events and updates without those from before an erasure of their user, by time or by position in the log."""
    users, row = group_keys([(user,) for user in (*events.user, *updates.user)])
    if not users:
        return events, updates
    marks = read_block(store, schema["erased_user"], users)
    erased_s, erased_at = marks.floats("erased_s")[row], marks.ints("position")[row]
    time_s = np.concatenate([events.time_s, updates.time_s])
    kept = ~((time_s <= erased_s) | is_folded(np.concatenate([events.position, updates.position]), erased_at))
    if kept.all():
        return events, updates
    return events.take(kept[: len(events)]), updates.take(kept[len(events) :])


def fold_activity(store: RowStore, schema: Schema, view: str, deltas: DeltaColumns, position: Ints) -> None:
    """Fold deltas [G] at `position` [G, 3] into the rows of an activity view."""
    if not len(deltas):
        return
    keys, row = group_keys([tuple(ids) for ids in deltas.group.tolist()])
    block = activity.fold(schema, read_block(store, schema[view], keys), row, deltas, position)
    store.write(keys, block)


def fold_item_scenarios(
    store: RowStore, schema: Schema, keys: Sequence[Key], time_s: Floats, attributes: Floats, position: Ints
) -> None:
    """Fold item-per-scenario states [E], in offset order, into their rows; the newest time wins."""
    if not len(keys):
        return
    view = schema["item_scenario"]
    distinct, row = group_keys(keys)
    block = catalogue.fold_item_scenarios(schema, read_block(store, view, distinct), row, time_s, attributes, position)
    store.write(distinct, block)


def fold_states(
    store: RowStore,
    schema: Schema,
    view: View,
    keys: Sequence[Key],
    states: Sequence[catalogue.CatalogueState | None],
    positions: Sequence[Sequence[int]],
    text_vectors: NDArray[np.float64],
    encoder: int,
) -> None:
    """Fold states of items or scenarios, in offset order, into their rows (None: a tombstone)."""
    distinct = list(dict.fromkeys(keys))
    rows = dict(zip(distinct, read_rows(store, view, distinct), strict=True))
    changed: dict[Key, None] = {}
    for key, state, position, vector in zip(keys, states, positions, text_vectors, strict=True):
        new = catalogue.fold(schema, view, rows[key], state, position, vector, encoder)
        if new is not None:
            rows[key] = new
            changed[key] = None
    store.write(list(changed), pack_rows(view, [rows[key] for key in changed]))


def index_scenarios(
    store: RowStore, schema: Schema, scenario_ids: Sequence[str], position: Sequence[int], deleted: Sequence[str] = ()
) -> None:
    """Add scenarios to the row that lists all scenarios, and remove deleted ones."""
    view = schema["scenario_index"]
    (row,) = unpack_rows(read_block(store, view, [SCENARIO_INDEX_KEY]))
    known = set(row["scenario_ids"].tolist())
    listed = (known - set(deleted)) | set(scenario_ids)
    if listed == known:
        return
    new = {
        "scenario_ids": np.array(sorted(listed), object),
        "position": np.array(position, np.int64),
        "schema": np.array(schema.fingerprint, np.int64),
    }
    store.write([SCENARIO_INDEX_KEY], pack_rows(view, [new]))


def read_scenario_ids(store: RowStore, schema: Schema) -> list[str]:
    """All scenarios, sorted by id."""
    (row,) = read_rows(store, schema["scenario_index"], [SCENARIO_INDEX_KEY])
    return [] if row is None else [str(scenario) for scenario in row["scenario_ids"].tolist()]
