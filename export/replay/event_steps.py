"""Folds the events of many steps of a replay into versions of all rows that they update."""

from dataclasses import replace

import numpy as np

from export.replay.user_steps import fold_user_steps
from export.replay.versions import BEFORE, VersionedRows
from services.features import activity
from services.features.activity_steps import fold_steps
from services.features.dedup import EventFlags
from services.features.events import Events
from services.features.profile import ProfileUpdates
from services.features.rows import Ints
from services.features.schema import Schema
from services.store.folding import attach_item_rows, group_keys
from services.store.protocol import Key

ACTIVITY_GROUPS = {
    "item_activity": ("item",),
    "facet_activity": ("facet",),
    "item_scenario_activity": ("item", "scenario"),
    "scenario_activity": ("scenario",),
}
"""Activity views and the ids whose events they sum."""


def fold_event_steps(
    schema: Schema,
    rows: VersionedRows,
    events: Events,
    stamp: Ints,
    updates: ProfileUpdates,
    update_stamp: Ints,
    encoder: int,
) -> None:
    """Add versions of the rows of users and of activity.

    Args:
        schema: the feature schema.
        rows: versions; those of items are there.
        events: events of all steps in order of time, with the vectors of their own texts.
        stamp: [E] stamp of each event's step; rising.
        updates: updates of users' attributes of all steps in order of time.
        update_stamp: [U] stamp of each update's step; rising.
        encoder: fingerprint of the encoder.
    """
    events = _attach_items(rows, events, stamp, encoder)
    users, pairs = rows["user"], rows["user_scenario"]
    flags = fold_user_steps(schema, users, pairs, events, stamp, updates, update_stamp, encoder)
    for view in ACTIVITY_GROUPS if len(events) else ():
        _fold_activity(schema, rows, view, events, flags, stamp)


def _attach_items(rows: VersionedRows, events: Events, stamp: Ints, encoder: int) -> Events:
    versions = rows["item"]
    at = stamp if versions.is_changed else np.full(len(events), BEFORE)
    found, index = group_keys(list(zip(events.item, at.tolist(), strict=True)))
    items: list[Key] = [(item,) for item, _ in found]
    block = versions.read(versions.number(items), np.array([at for _, at in found], np.int64))
    return attach_item_rows(events, items, index, block, encoder)


def _fold_activity(
    schema: Schema, rows: VersionedRows, view: str, events: Events, flags: EventFlags, stamp: Ints
) -> None:
    versions = rows[view]
    deltas = activity.compute_deltas(schema, events, flags, *ACTIVITY_GROUPS[view], step=stamp)
    if not len(deltas):
        return
    delta_stamp = deltas.group[:, 0].astype(np.int64)
    number = versions.number([tuple(ids) for ids in deltas.group[:, 1:].tolist()])
    distinct, row = np.unique(number, return_inverse=True)
    before = versions.read(distinct, np.full(len(distinct), BEFORE))
    position = events.position[np.searchsorted(stamp, delta_stamp, "right") - 1]
    deltas = replace(deltas, group=deltas.group[:, 1:])
    versions.add(number, delta_stamp, fold_steps(schema, before, row, deltas, position))
