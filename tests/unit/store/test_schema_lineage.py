"""Feature schemas that follow each other over one store: which writers may join, and which rows are read."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from services.features.config import Attribute
from services.features.event_types import EVENT_TYPES
from services.features.feature import Feature
from services.features.rows import Block, Row, pack_rows
from services.features.schema import Schema, View, build_schema
from services.store.folding import fold_users
from services.store.memory import MemoryRowStore
from services.store.protocol import IncompatibleSchema, Key, ReadRequest, StaleSchema, read_rows
from services.store.schema_lineage import SchemaCompatibility, join_lineage, read_lineage
from tests.unit.consumers.streams import (
    CONFIG,
    ENCODER,
    SCHEMA,
    arrays,
    behavior_event,
    fold_catalogue,
    item_update,
)

WIDE = build_schema(replace(CONFIG, attributes=(*CONFIG.attributes, Attribute("weight", "item", default=7.0))))
WIDEST = build_schema(replace(WIDE.config, event_ids=70))
ANOTHER = build_schema(replace(CONFIG, half_lives_s=(60.0, 3600.0)))


class Rows(MemoryRowStore):
    """Rows in memory, read under a schema as the real store reads them."""

    def __init__(self, schema: Schema, other: MemoryRowStore | None = None, *, newer: bool = False) -> None:
        super().__init__()
        if other is not None:
            self.rows, self._fences = other.rows, other._fences
        self._schemas = SchemaCompatibility(schema, lambda: read_lineage(self), newer=newer)

    def read_blocks(self, requests: Sequence[ReadRequest]) -> list[Block]:
        rows = [(view, [self._adapted(view, self.rows[view.name].get(key)) for key in keys]) for view, keys in requests]
        return [pack_rows(view, adapted) for view, adapted in rows]

    def _adapted(self, view: View, row: Row | None) -> Row | None:
        return None if row is None else self._schemas.adapt_row(view, row)


@pytest.fixture
def old() -> Rows:
    """Rows that a process with SCHEMA has written."""
    store = Rows(SCHEMA)
    join_lineage(store, SCHEMA)
    fold_catalogue(store, [item_update(1)])
    return store


def click(store: MemoryRowStore, schema: Schema, offset: int) -> None:
    events = replace(arrays([behavior_event(offset)], schema), position=np.array([(1, 0, offset)]))
    fold_users(store, schema, events, ENCODER.fingerprint)


def clicks(store: MemoryRowStore) -> float:
    return float(store.rows["user"][("u0",)]["counts"][5])


def test_every_writer_joins_once(old: Rows) -> None:
    """The store lists the schemas, oldest first, and how rows are laid out under each."""
    for schema in (SCHEMA, WIDE, WIDE, WIDEST):
        join_lineage(old, schema)
    lineage = read_lineage(old)
    assert (SCHEMA.fingerprint, WIDE.fingerprint, WIDEST.fingerprint) == lineage.fingerprints
    assert ["size", "weight"] == list(lineage.layouts[1].views["item"].features["attributes"].names or ())


def test_an_older_writer_is_rejected_when_it_starts(old: Rows) -> None:
    """The error names both schemas and the remedy."""
    join_lineage(old, WIDE)
    expected = f"feature schema {SCHEMA.fingerprint}, the store has the newer {WIDE.fingerprint}: start it with"
    with pytest.raises(StaleSchema, match=expected):
        join_lineage(old, SCHEMA)
    assert WIDE.fingerprint == read_lineage(old).fingerprints[-1]


def test_an_incompatible_schema_is_rejected_when_it_starts(old: Rows) -> None:
    """The error names features and remedy; also if a newer schema would fit, because older rows may remain."""
    with pytest.raises(IncompatibleSchema, match=r"scenario_activity\.counts: decays with.*set another store\.project"):
        join_lineage(old, ANOTHER)
    gone = replace(SCHEMA, views=tuple(v for v in SCHEMA.views if v.name != "user"))
    join_lineage(old, gone)
    text = (Feature("counts", "string", -2, "", ""),)
    again = replace(gone, views=(*gone.views, replace(SCHEMA["user"], features=text)))
    with pytest.raises(IncompatibleSchema, match=r"user\.counts: stored as float64, now string"):
        join_lineage(old, again)
    assert 2 == len(read_lineage(old).fingerprints)


def test_rows_of_an_older_schema_are_read_and_rewritten_on_their_next_event(old: Rows) -> None:
    """With defaults for new features; no count is lost."""
    click(old, SCHEMA, 1)
    new = Rows(WIDE, old)
    join_lineage(new, WIDE)
    (item,) = read_rows(new, WIDE["item"], [("i1",)])
    assert item is not None
    assert [0.5, 7.0] == item["attributes"].tolist()
    assert {SCHEMA.fingerprint} == {int(row["schema"]) for row in new.rows["user"].values()}
    click(new, WIDE, 2)
    assert {WIDE.fingerprint} == {int(row["schema"]) for row in new.rows["user"].values()}
    assert clicks(new) == pytest.approx(2.0, abs=1e-3)
    assert {SCHEMA.fingerprint} == {int(row["schema"]) for row in new.rows["item"].values()}


def test_an_older_writer_stops_at_a_newer_row_and_writes_nothing(old: Rows) -> None:
    """It was running when the newer writer started."""
    click(old, SCHEMA, 1)
    new = Rows(WIDE, old)
    join_lineage(new, WIDE)
    click(new, WIDE, 2)
    before = {view: dict(rows) for view, rows in old.rows.items()}
    expected = f"rows of view user were written under feature schema {WIDE.fingerprint}; this process has feature sch"
    with pytest.raises(StaleSchema, match=expected):
        click(old, SCHEMA, 3)
    assert before == {view: dict(rows) for view, rows in old.rows.items()}


def test_a_writer_stops_at_a_row_of_an_unknown_schema(old: Rows) -> None:
    """Another process wrote without joining."""
    click(old, SCHEMA, 1)
    old.rows["user"][("u0",)] = {**old.rows["user"][("u0",)], "schema": np.array(5)}
    with pytest.raises(StaleSchema, match="under feature schema 5, which is not in the store's lineage"):
        click(old, SCHEMA, 2)


def test_an_older_reader_reads_newer_rows_where_it_can(old: Rows) -> None:
    """A ranking server continues while consumers have a newer schema, unless one of its features was dropped."""
    new, reader = Rows(WIDE, old), Rows(SCHEMA, old, newer=True)
    join_lineage(new, WIDE)
    click(new, WIDE, 1)
    (row,) = read_rows(reader, SCHEMA["user"], [("u0",)])
    assert row is not None
    assert clicks(new) == row["counts"][5]
    features = tuple(feature for feature in SCHEMA["user"].features if feature.name != "language")
    less = replace(WIDE, views=tuple(replace(v, features=features) if v.name == "user" else v for v in WIDE.views))
    join_lineage(new, less)
    key: Key = ("u0",)
    new.rows["user"][key] = {**new.rows["user"][key], "schema": np.array(less.fingerprint)}
    with pytest.raises(StaleSchema, match="which no longer has language"):
        read_rows(reader, SCHEMA["user"], [key])


def test_a_reader_of_a_newer_schema_reads_older_rows(old: Rows) -> None:
    """It need not join: a ranking server may be ahead of the consumers. Incompatible rows are rejected."""
    (item,) = read_rows(Rows(WIDE, old, newer=True), WIDE["item"], [("i1",)])
    assert item is not None
    assert [0.5, 7.0] == item["attributes"].tolist()
    click(old, SCHEMA, 1)
    with pytest.raises(StaleSchema, match=r"cannot be read under .*: scenario_activity\.counts.* and [0-9]+ more"):
        read_rows(Rows(ANOTHER, old, newer=True), ANOTHER["user"], [("u0",)])


def test_an_event_type_is_appended_without_a_new_store() -> None:
    """Rows without it are read and updated; processes that lack it neither write nor read rows that count it."""
    config = replace(CONFIG, engagement={"click": 1.0})
    fewer, more = (build_schema(config, types) for types in (EVENT_TYPES[:-1], EVENT_TYPES))
    old = Rows(fewer)
    join_lineage(old, fewer)
    click(old, fewer, 1)
    new, reader = Rows(more, old), Rows(fewer, old, newer=True)
    join_lineage(new, more)
    request: ReadRequest = (fewer["user"], [("u0",)])
    assert 1 == reader.read_blocks([request])[0].size
    click(new, more, 2)
    assert (more.count_length, pytest.approx(2.0, abs=1e-3)) == (
        len(new.rows["user"][("u0",)]["counts"]),
        clicks(new),
    )
    with pytest.raises(StaleSchema, match="start it with the newer"):
        join_lineage(old, fewer)
    with pytest.raises(StaleSchema, match=f"which also counts {EVENT_TYPES[-1]} events; this process has"):
        reader.read_blocks([request])


def test_dropped_features_are_still_listed(old: Rows) -> None:
    """Rows may hold them: an erasure must remove them too."""
    features = tuple(feature for feature in SCHEMA["user"].features if feature.name != "language")
    less = replace(SCHEMA, views=tuple(replace(v, features=features) if v.name == "user" else v for v in SCHEMA.views))
    join_lineage(old, less)
    known = SchemaCompatibility(less, lambda: read_lineage(old), newer=False)
    assert (["language"], []) == (known.former_features(less["user"]), known.former_features(less["item"]))
