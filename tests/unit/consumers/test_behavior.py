"""The behaviour consumer's fold: any split of the log into batches gives the replay's rows."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from crossrec.events.v1.activity_pb2 import ActivityDeltas
from crossrec.events.v1.events_pb2 import Entry
from services.consumers.activity import ActivityHandler
from services.consumers.behavior import ENTRIES, BehaviorHandler
from services.consumers.decoding import Decoder, TimeLimits
from services.features.hashing import NO_KEY, key64
from services.features.rows import Row
from services.kafka.record_source import OutputRecord, Record
from services.store.memory import MemoryRowStore
from tests.unit.consumers.streams import (
    ACTIVITY,
    CONFIG,
    ENCODER,
    SCHEMA,
    START_S,
    assert_rows,
    behavior,
    behavior_event,
    catalogue,
    erasure,
    fold_behavior,
    fold_catalogue,
    item_update,
    records,
    replayed,
    user_update,
)

EPOCH = 1
NOW_S = START_S + 60 * 86_400.0
ITEMS, SCENARIOS = 20, 3


def store_with_items() -> MemoryRowStore:
    store = MemoryRowStore()
    fold_catalogue(store, catalogue(ITEMS, SCENARIOS))
    return store


def handler_over(store: MemoryRowStore) -> BehaviorHandler:
    decoder = Decoder(ENTRIES, CONFIG, TimeLimits(lambda: NOW_S, 300.0))
    return BehaviorHandler(store, SCHEMA, ENCODER, decoder, "crossrec.activity", lambda: 1, EPOCH)


def fold(store: MemoryRowStore, batches: Sequence[Sequence[Record]]) -> list[OutputRecord]:
    """Fold batches as the loop does: the records that the handler takes, then the rest."""
    handler, outputs = handler_over(store), []
    for batch in batches:
        done = 0
        while done < len(batch):
            outcome = handler.fold(batch[done:])
            outputs += outcome.outputs
            done += outcome.records or 0
    return outputs


def cut(log: Sequence[Record], size: int) -> list[Sequence[Record]]:
    return [log[begin : begin + size] for begin in range(0, len(log), size)]


def row_of(store: MemoryRowStore, view: str, *key: str) -> Row:
    return store.rows[view][key]


def clicks(row: Row) -> float:
    """Clicks at the longest half-life; their decay over the seconds of these tests is negligible."""
    return float(row["counts"][len(CONFIG.half_lives_s) * 2 - 1])


@pytest.mark.parametrize("size", [1, 7, 100, 1000])
def test_any_batch_split_gives_the_replays_rows(size: int) -> None:
    """Rows of users, and rows of activity that are folded from the deltas, for any batch size."""
    events = behavior(400)
    store = store_with_items()
    deltas = fold(store, cut(records(events), size))
    log = [Record(delta.topic, 0, offset, delta.key, delta.value) for offset, delta in enumerate(deltas)]
    for batch in cut(log, 50):
        assert [] == ActivityHandler(store, SCHEMA, EPOCH, TimeLimits()).fold(batch).dead_letters
    assert_rows(replayed(catalogue(ITEMS, SCENARIOS), events), store)


def with_updates(events: Sequence[Entry], every: int) -> tuple[list[Entry], list[Entry]]:
    """The events with an update of their user after every n-th, at its time; and those updates."""
    log, updates = [], []
    for number, event in enumerate(events):
        log.append(event)
        if number % every == 0:
            sent = event.behavior_event
            time_s = sent.time.ToMicroseconds() / 1e6
            updates.append(user_update(int(sent.user_id[1:]), time_s, float(number), ["cook", "student"][number % 2]))
            log.append(updates[-1])
    return log, updates


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_updates_of_users_fold_with_their_events(size: int) -> None:
    """For any batch size, also for users without events; and the deltas are those of the events alone."""
    events = behavior(200)
    log, updates = with_updates(events, 7)
    cold = user_update(77, START_S, 18.0, "student")
    store, plain, expected = store_with_items(), store_with_items(), store_with_items()
    deltas = fold(store, cut(records([*log, cold]), size))
    fold_behavior(expected, events, users=[*updates, cold])
    assert_rows(expected, store, ["user", "user_scenario"])
    if size == 1000:
        assert [delta.value for delta in fold(plain, [records(events)])] == [delta.value for delta in deltas]


@pytest.mark.parametrize("redone", [1, 5, 60])
def test_updates_of_users_repeated_after_a_crash_change_nothing(redone: int) -> None:
    """With any batch borders in the repetition, and though a late update came between."""
    log, _ = with_updates(behavior(60), 3)
    log.append(user_update(0, START_S, 5.0))
    store = store_with_items()
    fold(store, [records(log)])
    before = dict(store.rows["user"])
    fold(store, cut(records(log), redone))
    for key, row in before.items():
        for name, value in row.items():
            np.testing.assert_array_equal(store.rows["user"][key][name], value, err_msg=f"{key} {name}")


def test_an_erasure_takes_the_profile_along() -> None:
    """Earlier updates that arrive late restore nothing; later ones begin anew."""
    store = store_with_items()
    log = [user_update(0, START_S + 1, 40.0), erasure("u0", START_S + 5), user_update(0, START_S + 4, 41.0)]
    fold(store, [records(log)])
    assert ("u0",) not in store.rows["user"]
    fold(store, [records([user_update(0, START_S + 6, 42.0)], offset=3)])
    assert 42.0 == row_of(store, "user", "u0")["attributes"][0]


def test_updates_of_users_are_counted() -> None:
    """By outcome, beside the events."""
    store = store_with_items()
    counts = handler_over(store).fold(records([user_update(0), behavior_event(1), user_update(1)])).counts
    assert Counter({("user_update", "folded"): 2, ("click", "folded"): 1}) == +counts


@pytest.mark.parametrize("redone", [1, 60, 400])
def test_a_batch_repeated_after_a_crash_changes_nothing(redone: int) -> None:
    """Also with other batch borders in the repetition; its deltas equal those of the first time."""
    log = records(behavior(400))
    store = store_with_items()
    first = fold(store, [log])
    before = dict(store.rows["user"]), dict(store.rows["user_scenario"])
    again = fold(store, cut(log, redone))
    for rows, view in zip(before, ("user", "user_scenario"), strict=True):
        for key, row in rows.items():
            for name, value in row.items():
                np.testing.assert_array_equal(store.rows[view][key][name], value, err_msg=f"{view} {key} {name}")
    if redone == len(log):
        assert first == again


def test_deltas_are_one_per_item_facet_and_scenario_of_the_batch() -> None:
    """With the item's scenarios inside, also if the rows hold them already; deltas of a partition share a record."""
    log = records([behavior_event(n, item_id=f"i{n % 2}", scenario_id=f"s{n % 3}") for n in range(12)])
    store = store_with_items()
    (output,) = fold(store, [log])
    deltas = ActivityDeltas.FromString(output.value or b"").deltas
    assert ["i0", "i1"] == [delta.item_id for delta in deltas if delta.item_id]
    assert ["s0", "s1", "s2"] == [delta.scenario_id for delta in deltas if delta.scenario_id]
    rows = [row_of(store, "item", item)["facet_keys"].tolist() for item in ("i0", "i1")]
    keys = {str(key) for row in rows for key in row if key != NO_KEY}
    assert sorted(keys) == sorted(delta.facet_key for delta in deltas if delta.facet_key)
    assert ("crossrec.activity", 0) == (output.topic, output.partition)
    assert ["s0", "s1", "s2"] == [part.scenario_id for part in deltas[0].scenarios]
    assert {SCHEMA.fingerprint % 2**64} == {delta.schema_fingerprint for delta in deltas}


def test_event_ids_sent_twice_count_once() -> None:
    """The second record of an event has another position."""
    store = store_with_items()
    fold(store, [records([behavior_event(1), behavior_event(1)]), records([behavior_event(1)], offset=2)])
    assert 1.0 == clicks(row_of(store, "user", "u0"))


def test_events_are_counted_by_outcome() -> None:
    """By type: folded or repeated, also after a crash; erasures; events from before an erasure."""
    handler = handler_over(store_with_items())
    query = behavior_event(2, type="EVENT_TYPE_QUERY", item_id="", text="tea")
    log = records([behavior_event(1), behavior_event(1), query, erasure("u0", START_S + 50), behavior_event(3)])
    first = Counter({("click", "folded"): 1, ("click", "repeated"): 1, ("query", "folded"): 1})
    assert [first, first] == [handler.fold(log[:3]).counts, handler.fold(log[:3]).counts]
    assert Counter({("user_erasure", "folded"): 1, ("any", "erased"): 1}) == handler.fold(log[3:]).counts


def test_events_without_an_id_are_identified_by_their_position() -> None:
    """Producers that write to Kafka directly need not generate ids."""
    store = store_with_items()
    log = records([behavior_event(1, event_id=""), behavior_event(1, event_id="")])
    fold(store, [log, log])
    row = row_of(store, "user", "u0")
    assert 2.0 == clicks(row)
    assert [key64("crossrec.behavior/0/0"), key64("crossrec.behavior/0/1")] == row["event_ids"].tolist()


def test_items_are_looked_up_when_their_events_are_folded() -> None:
    """An unknown item leaves its facets out; a known one brings categories, brand and text."""
    store = MemoryRowStore()
    fold(store, [records([behavior_event(1, item_id="i7")])])
    assert 0 == len(row_of(store, "user", "u0")["facet_key"])
    fold_catalogue(store, [item_update(7)])
    fold(store, [records([behavior_event(2, item_id="i7")], offset=1)])
    row = row_of(store, "user", "u0")
    assert 3 == len(row["facet_key"])
    assert row["language"].any()


def test_queries_and_comments_are_added_to_the_language_vector() -> None:
    """Texts are encoded by the encoder whose fingerprint the row carries."""
    store = MemoryRowStore()
    fold(store, [records([behavior_event(1, type="EVENT_TYPE_QUERY", item_id="", text="green tea")])])
    row = row_of(store, "user", "u0")
    np.testing.assert_allclose(row["language"], ENCODER.encode(["green tea"])[0])
    assert ENCODER.fingerprint == row["encoder"]


def erased_log() -> list[Record]:
    before = [behavior_event(n, scenario_id=f"s{n % 2}") for n in range(6)]
    other = behavior_event(6, user_id="u1")
    late = behavior_event(5, event_id="late")
    after = behavior_event(7, scenario_id="s2")
    return records([*before, other, erasure("u0", START_S + 6), late, after])


@pytest.mark.parametrize("size", [1, 3, 8, 10])
def test_an_erasure_deletes_earlier_events_only(size: int) -> None:
    """Later events of the user start with empty rows, late ones are not counted; other users keep their rows."""
    store = store_with_items()
    fold(store, cut(erased_log(), size))
    assert {("u0", "s2"), ("u1", "s0")} == set(store.rows["user_scenario"])
    assert {("u0",), ("u1",)} == set(store.rows["user"])
    row = row_of(store, "user", "u0")
    assert (1.0, ["s2"]) == (clicks(row), row["scenario_ids"].tolist())


@pytest.mark.parametrize("size", [1, 2, 4, 10])
def test_an_erasure_repeated_after_later_events_leaves_no_trace(size: int) -> None:
    """Rows that the repetition restores are deleted again, and the user's row does not list them."""
    store = store_with_items()
    fold(store, [erased_log()])
    fold(store, cut(erased_log(), size))
    assert {("u0", "s2"), ("u1", "s0")} == set(store.rows["user_scenario"])
    row = row_of(store, "user", "u0")
    assert (1.0, ["s2"]) == (clicks(row), row["scenario_ids"].tolist())


@pytest.mark.parametrize("user", ["u\n0", "u" * 200, "u\x1f\u202e"])
def test_a_user_stored_before_the_rules_of_ids_can_be_erased(user: str) -> None:
    """Rows are deleted under whatever id they have."""
    store = store_with_items()
    fold_behavior(store, [behavior_event(0, user_id=user)])
    assert (user,) in store.rows["user"]
    erased = erasure(user, START_S + 1)
    erased.user_erasure.event_id = "e"
    fold(store, [records([erased], offset=100)])
    assert (user,) not in store.rows["user"]


def test_erasing_an_unknown_user_is_not_an_error() -> None:
    """Erasures are idempotent."""
    store = store_with_items()
    fold(store, [records([erasure("nobody")]), records([erasure("nobody")], offset=1)])
    assert not store.rows["user"]


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        (behavior_event(1, user_id=""), "behavior_event.user_id: is empty"),
        (
            behavior_event(1, user_id="u\0"),
            "behavior_event.user_id: holds a control character, U+0000, after 1 characters; an id must not",
        ),
        (
            behavior_event(1, item_id="\u202ei0"),
            "behavior_event.item_id: holds a format character, U+202E, after 0 characters; an id must not",
        ),
        (behavior_event(90 * 86_400), "behavior_event.time: is 2591700.000 s beyond the tolerated future"),
        (item_update(1), "entry: item_update does not belong on this topic"),
        (Entry(), "entry: nothing does not belong on this topic"),
    ],
)
def test_entries_that_break_a_rule_are_dead_letters(entry: Entry, reason: str) -> None:
    """The reason names the field; the records around it are folded."""
    bad = Record("crossrec.behavior", 0, 1, b"u0", entry.SerializeToString())
    if not bad.value:
        reason = "the value is empty"
    log = [*records([behavior_event(0)]), bad, *records([behavior_event(2)], offset=2)]
    store = store_with_items()
    outcome = handler_over(store).fold(log)
    assert [(bad, reason)] == [(dead_letter.record, dead_letter.reason) for dead_letter in outcome.dead_letters]
    assert 2.0 == pytest.approx(clicks(row_of(store, "user", "u0")), abs=1e-5)


def test_positions_of_another_epoch_are_ignored() -> None:
    """A re-created topic starts at offset 0, and its records are folded."""
    store = store_with_items()
    log = records([behavior_event(1)])
    fold(store, [log])
    handler = BehaviorHandler(
        store,
        SCHEMA,
        ENCODER,
        Decoder(ENTRIES, CONFIG, TimeLimits(lambda: NOW_S, 300.0)),
        "crossrec.activity",
        lambda: 1,
        EPOCH + 1,
    )
    handler.fold([replace(log[0], value=records([behavior_event(2)])[0].value)])
    assert [2, 0, 0] == row_of(store, "user", "u0")["position"].tolist()
    assert 2.0 == pytest.approx(clicks(row_of(store, "user", "u0")), abs=1e-5)


def test_batches_over_several_partitions_keep_each_users_position() -> None:
    """A batch holds runs of records of all partitions, one after the other."""
    store = store_with_items()
    left = records([behavior_event(1), behavior_event(2)], partition=3, offset=40)
    right = records([behavior_event(3, user_id="u1")], partition=1, offset=7)
    fold(store, [[*left, *right]])
    assert [EPOCH, 3, 41] == row_of(store, "user", "u0")["position"].tolist()
    assert [EPOCH, 1, 7] == row_of(store, "user", "u1")["position"].tolist()


def test_a_batch_of_dead_letters_writes_no_rows() -> None:
    """A batch without a valid record is still committed."""
    store = MemoryRowStore()
    outcome = handler_over(store).fold([Record("crossrec.behavior", 0, 0, None, b"\xff")])
    assert ([], 1) == (outcome.outputs, len(outcome.dead_letters))
    assert not any(store.rows.values())


def test_activity_views_are_those_of_the_replay() -> None:
    """The views that the tests compare are all views of the activity consumer."""
    assert set(ACTIVITY) == {view.name for view in SCHEMA.views if view.writer == "activity consumer"}
