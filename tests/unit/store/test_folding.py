"""Folding between reading rows and writing them: items are looked up, users erased, scenarios listed."""

from dataclasses import replace

import numpy as np
import pytest

from services.features.hashing import NO_KEY, key64
from services.features.profile import no_updates
from services.features.rows import pack_rows
from services.features.schema import build_schema
from services.store.folding import (
    attach_items,
    drop_erased,
    erase_user,
    fold_users,
    group_keys,
    index_scenarios,
    read_scenario_ids,
)
from services.store.memory import MemoryRowStore
from services.store.protocol import FencedWrite, RowStore, read_block
from tests.unit.consumers.streams import (
    ENCODER,
    SCHEMA,
    START_S,
    arrays,
    behavior_event,
    fold_catalogue,
    item_update,
    profiles,
    user_update,
)
from tests.unit.ranking.recording_store import RecordingStore

VIEWS = ("user", "user_scenario")


@pytest.fixture
def store() -> MemoryRowStore:
    store = MemoryRowStore()
    fold_catalogue(store, [item_update(1), item_update(2)])
    return store


def fold(store: MemoryRowStore, *scenarios: str, offset: int = 0, user: str = "u0") -> None:
    """A click per scenario, at rising offsets of partition 3 in epoch 1."""
    events = arrays([behavior_event(offset + n, user_id=user, scenario_id=s) for n, s in enumerate(scenarios)])
    position = np.array([(1, 3, offset + number) for number in range(len(scenarios))])
    fold_users(store, SCHEMA, replace(events, position=position), ENCODER.fingerprint)


def keys(store: MemoryRowStore) -> set[tuple[str, ...]]:
    """The keys of all users' rows."""
    return {key for view in VIEWS for key in store.rows[view]}


def test_keys_are_grouped_in_order_of_appearance() -> None:
    """Every given key is found among the distinct ones."""
    distinct, index = group_keys([("b",), ("a",), ("b",)])
    assert ([("b",), ("a",)], [0, 1, 0]) == (distinct, index.tolist())
    assert ([], []) == (group_keys([])[0], group_keys([])[1].tolist())


def test_missing_rows_are_read_as_defaults(store: MemoryRowStore) -> None:
    """In one block with rows that exist."""
    block = read_block(store, SCHEMA["item"], [("nobody",), ("i2",)])
    assert [-1.0, 3.0] == block.floats("price").tolist()
    assert 0 == read_block(store, SCHEMA["item"], []).size


def test_events_get_the_features_of_their_items(store: MemoryRowStore) -> None:
    """Facets and text of the item; the event's own text is added; an unknown item has its key alone."""
    events = attach_items(
        store,
        SCHEMA,
        arrays(
            [
                behavior_event(1, item_id="i1", type="EVENT_TYPE_COMMENT", text="green tea"),
                behavior_event(2, item_id="", type="EVENT_TYPE_QUERY", text="rye bread"),
                behavior_event(3, item_id="unknown"),
                behavior_event(4, item_id="i1"),
            ]
        ),
        ENCODER.fingerprint,
    )
    item = store.rows["item"][("i1",)]
    assert [key64("i1"), NO_KEY, key64("unknown"), key64("i1")] == events.item_key.tolist()
    none = np.zeros_like(item["facet_keys"])
    np.testing.assert_array_equal(events.facet_key, [item["facet_keys"], none, none, item["facet_keys"]])
    own = ENCODER.encode(["green tea", "rye bread", "", ""])
    text = item["text_vector"]
    np.testing.assert_array_equal(events.text_vector, own + np.stack([text, 0 * text, 0 * text, text]))


def test_texts_of_another_encoder_are_left_out(store: MemoryRowStore) -> None:
    """Facets are kept: they do not depend on the encoder."""
    events = attach_items(store, SCHEMA, arrays([behavior_event(1, item_id="i1")]), ENCODER.fingerprint + 1)
    assert not events.text_vector.any()
    assert events.facet_key.any()


def test_a_user_lists_the_scenarios_of_its_rows(store: MemoryRowStore) -> None:
    """Sorted, each once; another user's are not among them."""
    fold(store, "s2", "s0", "s2")
    fold(store, "s9", user="u1")
    fold(store, "s1", offset=3)
    assert ["s0", "s1", "s2"] == store.rows["user"][("u0",)]["scenario_ids"].tolist()


ERASED_S = START_S + 100.0


def erase(store: MemoryRowStore, *position: int) -> None:
    erase_user(store, SCHEMA, "u0", ERASED_S, position)


def test_erasing_deletes_every_row_of_the_user(store: MemoryRowStore) -> None:
    """Rows of other users are kept; a second erasure changes nothing."""
    fold(store, "s0", "s1")
    fold(store, "s0", offset=2, user="u1")
    for _ in range(2):
        erase(store, 1, 3, 3)
        assert {("u1",), ("u1", "s0")} == keys(store)


def test_a_repeated_erasure_keeps_rows_of_later_events(store: MemoryRowStore) -> None:
    """Rows that are newer than the erasure are not deleted."""
    erase(store, 1, 3, 4)
    fold(store, "s1", offset=5)
    erase(store, 1, 3, 4)
    assert {("u0",), ("u0", "s1")} == keys(store)


@pytest.mark.parametrize("position", [(2, 3, 0), (1, 0, 0)])
def test_an_erasure_in_another_partition_or_epoch_deletes_at_any_offset(
    position: tuple[int, int, int], store: MemoryRowStore
) -> None:
    """Offsets of another topic epoch, or of another partition, cannot be compared."""
    fold(store, "s0", offset=5)
    erase(store, *position)
    assert not keys(store)


def test_an_interrupted_erasure_is_finished_by_its_repetition(store: MemoryRowStore) -> None:
    """The user's row is deleted last, so that the other rows can still be found."""
    fold(store, "s0", "s1")
    del store.rows["user_scenario"][("u0", "s0")]
    erase(store, 1, 3, 2)
    assert not keys(store)


def test_a_writer_from_before_an_erasure_is_fenced(store: MemoryRowStore) -> None:
    """A consumer that lost its partition and resumes cannot restore the rows."""
    fold(store, "s0")
    erase(store, 1, 3, 4)
    with pytest.raises(FencedWrite):
        fold(store, "s0", offset=3)
    assert not keys(store)


@pytest.mark.parametrize(
    ("time_s", "offset", "partition", "expected"),
    [
        (ERASED_S + 1, 5, 3, 1),  # later in time and in the log
        (ERASED_S, 5, 3, 0),  # late
        (ERASED_S + 1, 4, 3, 0),  # before the erasure in the log: its rows are deleted
        (ERASED_S + 1, 3, 2, 1),  # offsets of another partition are not compared
    ],
)
def test_events_from_before_an_erasure_are_left_out(
    time_s: float, offset: int, partition: int, expected: int, store: MemoryRowStore
) -> None:
    """By the event's time or by its position in the log; events of other users are kept."""
    erase(store, 1, 3, 4)
    events = arrays([behavior_event(1), behavior_event(2, user_id="u1")])
    position = np.tile((1, partition, offset), (2, 1))
    events = replace(events, time_s=np.full(2, time_s), position=position)
    kept, _ = drop_erased(store, SCHEMA, events, no_updates())
    assert expected + 1 == len(kept)


def test_erasures_are_read_once_for_events_and_updates() -> None:
    """Both lose what is from before an erasure of their user."""
    store = RecordingStore()
    erase(store, 1, 3, 4)
    store.reads.clear()
    events = arrays([behavior_event(1), behavior_event(2, user_id="u1")])
    updates = profiles([user_update(0, ERASED_S), user_update(2, ERASED_S)], SCHEMA, 0)
    kept, kept_updates = drop_erased(store, SCHEMA, replace(events, time_s=np.full(2, ERASED_S)), updates)
    assert (["u1"], ["u2"]) == (kept.user.tolist(), kept_updates.user.tolist())
    assert [["u0", "u1", "u2"]] == store.reads


def test_the_newest_erasure_counts(store: MemoryRowStore) -> None:
    """An older erasure that arrives later does not replace it."""
    erase(store, 1, 3, 4)
    erase_user(store, SCHEMA, "u0", ERASED_S - 50, (1, 3, 6))
    (mark,) = store.rows["erased_user"].values()
    assert (ERASED_S, [1, 3, 6]) == (mark["erased_s"], mark["position"].tolist())


def test_the_index_is_written_only_when_it_grows(store: MemoryRowStore) -> None:
    """An update of a known scenario at an older position does not write it, so it is not fenced."""
    assert [] == read_scenario_ids(store, SCHEMA)
    index_scenarios(store, SCHEMA, ["s1", "s0", "s1"], (1, 0, 5))
    index_scenarios(store, SCHEMA, ["s0"], (1, 0, 2))
    assert ["s0", "s1"] == read_scenario_ids(store, SCHEMA)
    index_scenarios(store, SCHEMA, ["s2"], (1, 0, 6))
    assert ["s0", "s1", "s2"] == read_scenario_ids(store, SCHEMA)
    (row,) = store.rows["scenario_index"].values()
    assert ([1, 0, 6], SCHEMA.fingerprint) == (row["position"].tolist(), row["schema"])


def test_an_empty_batch_writes_nothing(store: MemoryRowStore) -> None:
    """Empty batches are not an error."""
    fold(store)
    assert not keys(store)
    assert 0 == pack_rows(SCHEMA["user"], []).size


FEW = build_schema(replace(SCHEMA.config, user_scenarios=3))


def fold_few(store: RowStore, *scenarios: str, offset: int, size: int = 1000) -> None:
    """Clicks per scenario at rising offsets and times, at most three scenarios per user kept, in batches."""
    events = arrays([behavior_event(offset + n, scenario_id=s) for n, s in enumerate(scenarios)])
    position = np.array([(1, 3, offset + number) for number in range(len(scenarios))])
    events = replace(events, position=position)
    for begin in range(0, len(events), size):
        fold_users(store, FEW, events.take(np.arange(begin, min(begin + size, len(events)))), ENCODER.fingerprint)


@pytest.mark.parametrize("size", [1, 4, 1000])
def test_a_user_keeps_the_strongest_scenarios(store: MemoryRowStore, size: int) -> None:
    """The weakest are removed with their rows; what the user did there counts in the row of the user all the same."""
    fold_few(store, *["a"] * 4, *["b"] * 3, *["c"] * 2, offset=0, size=size)
    fold_few(store, *(f"x{number}" for number in range(50)), offset=9, size=size)
    fold_few(store, *["d"] * 5, offset=59)
    assert [("u0", scenario) for scenario in ("a", "b", "d")] == sorted(store.rows["user_scenario"])
    row = store.rows["user"][("u0",)]
    assert ["a", "b", "d"] == row["scenario_ids"].tolist()
    assert 64 == pytest.approx(row["counts"].reshape(-1, 3)[1, -1], rel=1e-3)


def test_ten_thousand_scenarios_take_no_more_rows_than_the_bound() -> None:
    """One event in each: per batch, new names are written only if they stay."""
    store, writes = MemoryRowStore(), list[int]()
    write = store.write
    store.write = lambda keys, block: (writes.append(len(keys)), write(keys, block))[1]  # type: ignore[method-assign]
    fold_few(store, *(f"x{number:05}".ljust(128, "y") for number in range(10_000)), offset=0, size=1000)
    assert 3 == len(store.rows["user_scenario"]) == len(store.rows["user"][("u0",)]["scenario_ids"])
    assert 10 * (3 + 1) == sum(writes)
    assert 10_000 == pytest.approx(store.rows["user"][("u0",)]["counts"].reshape(-1, 3)[1, -1], rel=0.01)


@pytest.mark.parametrize("lost", ["user", "nothing"])
def test_a_crash_between_the_writes_is_repaired_by_the_repetition(lost: str) -> None:
    """The user's row is written last: what it lists can be removed, and a repeated batch gives the same rows."""
    once, twice = MemoryRowStore(), MemoryRowStore()
    for store in (once, twice):
        fold_few(store, "a", "b", "c", offset=0)
        fold_few(store, *["a"] * 3, *["d"] * 2, "e", offset=3)
    before = twice.rows["user"][("u0",)]
    for store in (once, twice):
        fold_few(store, *["e"] * 9, "f", "f", offset=9)
    if lost == "user":
        twice.rows["user"][("u0",)] = before
    fold_few(twice, *["e"] * 9, "f", "f", offset=9)
    for view in VIEWS:
        assert sorted(once.rows[view]) == sorted(twice.rows[view])
        for key, row in once.rows[view].items():
            for name in {"counts", "time_s", "position", "event_ids"} & row.keys():
                np.testing.assert_array_equal(row[name], twice.rows[view][key][name], err_msg=f"{view} {key} {name}")


def test_a_former_owner_brings_no_removed_scenario_back(store: MemoryRowStore) -> None:
    """A fence stays where a row was removed."""
    fold_few(store, "a", "a", "b", "b", "c", "c", "c", offset=0)
    fold_few(store, *["d"] * 9, offset=7)
    assert ("u0", "a") not in store.rows["user_scenario"]
    late = MemoryRowStore()
    fold_few(late, "a", offset=0)
    with pytest.raises(FencedWrite):
        store.write([("u0", "a")], read_block(late, FEW["user_scenario"], [("u0", "a")]))
