"""The folds of the item and scenario consumers."""

from collections.abc import Sequence

import numpy as np
import pytest

from services.consumers.catalogue import ITEM_ENTRIES, SCENARIO_ENTRIES, ItemHandler, ScenarioHandler
from services.consumers.decoding import Decoder, TimeLimits
from services.kafka.record_source import Record
from services.store.folding import read_scenario_ids
from services.store.memory import MemoryRowStore
from tests.unit.consumers.streams import (
    CONFIG,
    ENCODER,
    SCHEMA,
    START_S,
    assert_rows,
    behavior_event,
    catalogue,
    fold_catalogue,
    item_update,
    pair_update,
    records,
    scenario_update,
)

EPOCH = 1
NOW_S = START_S + 100.0
TIMES = TimeLimits(lambda: NOW_S, 300.0)


@pytest.fixture
def store() -> MemoryRowStore:
    return MemoryRowStore()


@pytest.fixture
def items(store: MemoryRowStore) -> ItemHandler:
    return ItemHandler(store, SCHEMA, ENCODER, Decoder(ITEM_ENTRIES, CONFIG, TIMES), EPOCH)


@pytest.fixture
def scenarios(store: MemoryRowStore) -> ScenarioHandler:
    return scenario_handler(store, most=64)


def scenario_handler(store: MemoryRowStore, most: int) -> ScenarioHandler:
    decoder = Decoder(SCENARIO_ENTRIES, CONFIG, TimeLimits(lambda: NOW_S, 300.0))
    return ScenarioHandler(store, SCHEMA, ENCODER, decoder, EPOCH, most)


def tombstone(key: str, offset: int, topic: str = "crossrec.items") -> Record:
    return Record(topic, 0, offset, key.encode(), None)


def fold(handler: ItemHandler | ScenarioHandler, log: Sequence[Record], size: int = 1000) -> None:
    for begin in range(0, len(log), size):
        assert [] == handler.fold(log[begin : begin + size]).dead_letters


@pytest.mark.parametrize("size", [1, 4, 1000])
def test_any_batch_split_gives_the_replays_rows(
    size: int, store: MemoryRowStore, items: ItemHandler, scenarios: ScenarioHandler
) -> None:
    """Items, items in scenarios, scenarios and their index, also when every batch is repeated."""
    updates = catalogue(12, 3)
    for handler, log in (
        (items, records([entry for entry in updates if entry.WhichOneof("entry") != "scenario_update"])),
        (scenarios, records([entry for entry in updates if entry.WhichOneof("entry") == "scenario_update"])),
    ):
        fold(handler, log, size)
        fold(handler, log, size)
    expected = MemoryRowStore()
    fold_catalogue(expected, updates)
    for rows in expected.rows["scenario_index"].values():
        assert rows["scenario_ids"].tolist() == read_scenario_ids(store, SCHEMA)
    assert_rows(expected, store, ["item", "item_scenario", "scenario"])


def test_the_newest_time_wins_in_any_order(store: MemoryRowStore, items: ItemHandler) -> None:
    """An older update that arrives later changes only the time of creation."""
    fold(items, records([item_update(1, START_S + 5, price=5.0), item_update(1, START_S + 2, price=2.0)]))
    row = store.rows["item"][("i1",)]
    assert (5.0, START_S + 2) == (row["price"], row["created_s"])


@pytest.mark.parametrize("size", [1, 10])
def test_a_tombstone_resets_an_item(size: int, store: MemoryRowStore, items: ItemHandler) -> None:
    """The row keeps its position, so that a repetition does not restore the item."""
    log = [*records([item_update(1), item_update(2)]), tombstone("i1", 2)]
    fold(items, log, size)
    fold(items, log, size)
    row = store.rows["item"][("i1",)]
    assert ("", -1.0, [EPOCH, 0, 2]) == (row["title"].item(), row["price"], row["position"].tolist())
    assert not row["text_vector"].any()
    assert store.rows["item"][("i2",)]["title"].item()


@pytest.mark.parametrize("size", [1, 10])
def test_a_tombstone_resets_an_item_in_a_scenario(size: int, store: MemoryRowStore, items: ItemHandler) -> None:
    """Its key holds both ids; rows of other scenarios are unchanged, and later updates are applied."""
    updates = [pair_update(1, 0, START_S, 3.0), pair_update(1, 1, START_S, 4.0), pair_update(2, 0, START_S, 5.0)]
    log = [*records(updates), tombstone("i1\x1fs0", 3), tombstone("i2\x1fs0", 4)]
    fold(items, [*log, *records([pair_update(2, 0, START_S + 1, 6.0)], offset=5)], size)
    shelves = {key: row["attributes"].tolist() for key, row in store.rows["item_scenario"].items()}
    assert {("i1", "s0"): [0.0], ("i1", "s1"): [4.0], ("i2", "s0"): [6.0]} == shelves


def test_a_tombstone_resets_a_scenario(store: MemoryRowStore, scenarios: ScenarioHandler) -> None:
    """Its row holds defaults."""
    fold(scenarios, [*records([scenario_update(0), scenario_update(1)]), tombstone("s0", 2, "crossrec.scenarios")])
    assert ["", "scenario 1"] == [store.rows["scenario"][(key,)]["name"].item() for key in ("s0", "s1")]


@pytest.mark.parametrize("size", [1, 2, 3, 10])
@pytest.mark.parametrize("begin", range(7))
def test_a_repeated_batch_does_not_bring_a_deleted_scenario_back(size: int, begin: int, store: MemoryRowStore) -> None:
    """From whatever record a crash lets the consumer begin again, and however the log is cut then."""
    log = [
        *records([scenario_update(0), scenario_update(1)]),
        tombstone("s0", 2, "crossrec.scenarios"),
        *records([scenario_update(2), scenario_update(0, START_S + 5)], offset=3),
        tombstone("s1", 5, "crossrec.scenarios"),
        tombstone("s0", 6, "crossrec.scenarios"),
    ]
    fold(scenario_handler(store, 64), log, size)
    assert ["s2"] == read_scenario_ids(store, SCHEMA)
    fold(scenario_handler(store, 64), log[begin:], size)
    assert ["s2"] == read_scenario_ids(store, SCHEMA)


@pytest.mark.parametrize("size", [1, 2, 1000])
def test_updates_beyond_the_most_scenarios_are_dead_letters(size: int, store: MemoryRowStore) -> None:
    """500 of them create nothing and cost no row; known scenarios are updated, and a deletion makes room."""
    handler = scenario_handler(store, most=3)
    log = records([scenario_update(number) for number in range(500)])
    found = [handler.fold(log[begin : begin + size]) for begin in range(0, len(log), size)]
    letters = [letter for result in found for letter in result.dead_letters]
    assert list(range(3, 500)) == [letter.record.offset for letter in letters]
    reason = "scenario_update.scenario_id: 3 scenarios are listed, the most that consumers.max_scenarios allows: "
    assert {f"{reason}delete one, then replay"} == {letter.reason for letter in letters}
    assert 3 == sum(result.counts["scenario_update", "folded"] for result in found)
    assert ["s0", "s1", "s2"] == read_scenario_ids(store, SCHEMA)
    assert 3 == len(store.rows["scenario"])
    fold(handler, [*records([scenario_update(1, START_S + 9, "tea room")], offset=500)])
    fold(handler, [tombstone("s1", 501, "crossrec.scenarios"), *records([scenario_update(7)], offset=502)])
    assert ["s0", "s2", "s7"] == read_scenario_ids(store, SCHEMA)


@pytest.mark.parametrize("cut", range(5))
def test_what_had_no_room_has_none_when_the_batch_is_repeated(cut: int, store: MemoryRowStore) -> None:
    """Although a scenario was deleted since: the index would have to be written at an older position."""
    log = [
        *records([scenario_update(0), scenario_update(1), scenario_update(2)]),
        tombstone("s0", 3, "crossrec.scenarios"),
    ]
    handler = scenario_handler(store, most=2)
    assert [2] == [letter.record.offset for letter in handler.fold(log).dead_letters]
    for part in (log[:cut], log[cut:]):
        letters = scenario_handler(store, most=2).fold(part).dead_letters
        assert [record.offset for record in part if record.offset == 2] == [letter.record.offset for letter in letters]
    assert ["s1"] == read_scenario_ids(store, SCHEMA)


def test_a_deletion_of_an_unknown_scenario_lists_nothing(store: MemoryRowStore, scenarios: ScenarioHandler) -> None:
    """It is not an error."""
    fold(scenarios, [tombstone("s9", 0, "crossrec.scenarios")])
    assert [] == read_scenario_ids(store, SCHEMA)


def test_texts_are_encoded_by_the_configured_encoder(store: MemoryRowStore, items: ItemHandler) -> None:
    """The row holds the encoder's fingerprint."""
    fold(items, records([item_update(1, title="rye bread", description="", categories=[])]))
    row = store.rows["item"][("i1",)]
    np.testing.assert_array_equal(row["text_vector"], ENCODER.encode(["rye bread"])[0])
    assert ENCODER.fingerprint == row["encoder"]


def test_a_scenario_whose_row_was_written_before_a_crash_is_listed(
    store: MemoryRowStore, scenarios: ScenarioHandler
) -> None:
    """The index is written after the rows: a repetition must write it even if the rows are up to date."""
    log = records([scenario_update(0)])
    fold(scenarios, log)
    store.rows["scenario_index"].clear()
    fold(scenarios, log)
    assert ["s0"] == read_scenario_ids(store, SCHEMA)


def test_bad_records_are_dead_letters_and_the_rest_is_folded(store: MemoryRowStore, items: ItemHandler) -> None:
    """Bytes that are not an entry, entries of other topics, nulls without a key, keys that are not text."""
    event = records([behavior_event(1)])[0]
    bad = [
        (Record("crossrec.items", 0, 0, b"i1", b"\xff\xff"), "not a protobuf Entry: Error parsing message"),
        (Record("crossrec.items", 0, 1, b"u0", event.value), "entry: behavior_event does not belong on this topic"),
        (Record("crossrec.items", 0, 2, None, None), "the value is empty"),
        (Record("crossrec.items", 0, 3, b"\xff", None), "key: not an id in UTF-8"),
        (Record("crossrec.items", 0, 6, b"i1\x1f", None), "key: an id is empty"),
        (Record("crossrec.items", 0, 7, b"x" * 65_537, None), "key: is 65537 bytes long, at most 65536"),
        (records([item_update(3, attributes={"weight": 1.0})], offset=4)[0], 'item_update.attributes["weight"]: is'),
    ]
    outcome = items.fold([*(record for record, _ in bad), *records([item_update(1)], offset=5)])
    found = {dead_letter.record.offset: dead_letter.reason for dead_letter in outcome.dead_letters}
    assert {record.offset for record, _ in bad} == set(found)
    for record, reason in bad:
        assert found[record.offset].startswith(reason)
    assert {("i1",)} == set(store.rows["item"])
