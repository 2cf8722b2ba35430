"""An event type appended to the table: rows written without it are read and updated as if it had always existed."""

from dataclasses import replace

import numpy as np
import pytest

from services.features import activity, behavior
from services.features.dedup import classify_events
from services.features.event_types import EVENT_TYPES
from services.features.events import Events
from services.features.layout import adapt_row, describe_layout, find_conflicts, find_unknown_event_types
from services.features.rows import Block, pack_rows, unpack_rows
from services.features.schema import Schema, build_schema
from tests.unit.features.conftest import make_events

ENCODER = 7
FEWER, LAST = EVENT_TYPES[:-1], EVENT_TYPES[-1]


def without_last(schema: Schema) -> Schema:
    """The schema as it was before the last type was appended."""
    weights = {name: weight for name, weight in schema.config.engagement.items() if name != LAST}
    return build_schema(replace(schema.config, engagement=weights), FEWER)


def halves(schema: Schema) -> tuple[Events, Events]:
    """Events without the last type, then events with it."""
    events = make_events(schema, 300)
    early, late = events.take(np.arange(150)), events.take(np.arange(150, 300))
    types = np.where(np.arange(150) % 3 == 0, EVENT_TYPES.index(LAST), late.type)
    return early, replace(late, type=types)


def fold_users(schema: Schema, block: Block, events: Events) -> Block:
    users = [f"u{n}" for n in range(block.size)]
    row = np.array([users.index(user) for user in events.user], np.int64)
    return behavior.fold(schema, block, row, events, classify_events(schema, block, row, events), ENCODER)


def fold_items(schema: Schema, block: Block, events: Events) -> Block:
    users = pack_rows(schema["user"], [None] * 5)
    row = np.array([int(user[1:]) for user in events.user], np.int64)
    deltas = activity.compute_deltas(schema, events, classify_events(schema, users, row, events), "item")
    position = np.full((len(deltas), 3), events.position[-1])
    item = np.array([int(group[0][1:]) for group in deltas.group], np.int64)
    return activity.fold(schema, block, item, deltas, position)


@pytest.mark.parametrize(("view", "rows"), [("user", 5), ("item_activity", 8)])
def test_rows_written_without_the_type_are_updated(schema: Schema, view: str, rows: int) -> None:
    """Their values equal, to the bit, those of rows that were folded with the type from the start."""
    fold = fold_users if view == "user" else fold_items
    old, (early, late) = without_last(schema), halves(schema)
    stored = unpack_rows(fold(old, pack_rows(old[view], [None] * rows), early))
    adapted = [adapt_row(schema[view], row, describe_layout(old)) for row in stored]
    from_stored = unpack_rows(fold(schema, pack_rows(schema[view], adapted), late))
    from_start = fold(schema, fold(schema, pack_rows(schema[view], [None] * rows), early), late)
    for expected, row in zip(unpack_rows(from_start), from_stored, strict=True):
        for name, values in expected.items():
            np.testing.assert_array_equal(values, row[name], err_msg=name)
        assert values_of_last(schema, row["counts"]).all()


def values_of_last(schema: Schema, counts: np.ndarray) -> np.ndarray:
    by_type: np.ndarray = counts.reshape(len(EVENT_TYPES), len(schema.config.half_lives_s))[-1]
    return by_type


def test_an_appended_type_is_no_conflict(schema: Schema) -> None:
    """Its weight in engagement does not matter; the schema's fingerprint changes nevertheless."""
    old = without_last(schema)
    assert [] == find_conflicts(describe_layout(old), describe_layout(schema))
    unweighted = build_schema(replace(schema.config, engagement=old.config.engagement))
    assert [] == find_conflicts(describe_layout(old), describe_layout(unweighted))
    assert 3 == len({old.fingerprint, schema.fingerprint, unweighted.fingerprint})


@pytest.mark.parametrize(
    "types",
    [FEWER, (*EVENT_TYPES[1:], EVENT_TYPES[0]), ("view", *EVENT_TYPES[1:]), (*FEWER, "inserted", LAST)],
    ids=["removed", "reordered", "renamed", "inserted"],
)
def test_other_changes_of_the_types_are_conflicts(schema: Schema, types: tuple[str, ...]) -> None:
    """Stored counts would belong to other types; the reason names the feature."""
    reasons = find_conflicts(describe_layout(schema), describe_layout(build_schema(schema.config, types)))
    assert [reason for reason in reasons if reason.startswith("user.counts: rows hold impression, click")], reasons
    assert build_schema(schema.config, types).fingerprint != schema.fingerprint


def test_types_unknown_to_a_schema_are_detected(schema: Schema) -> None:
    """Rows that count them are not read under this schema."""
    old, new = describe_layout(without_last(schema)), describe_layout(schema)
    assert ([LAST], []) == (find_unknown_event_types(old, new), find_unknown_event_types(new, old))
