"""The activity consumer's fold, and its dead letters."""

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from crossrec.events.v1.activity_pb2 import ActivityDelta, ActivityDeltas, ScenarioCounts
from services.consumers.activity import ActivityHandler, delta_times
from services.consumers.activity_deltas import RECORD_BYTES, activity_deltas, pack_deltas
from services.consumers.decoding import TimeLimits
from services.features.activity import compute_deltas
from services.features.config import DAY_S
from services.features.event_types import EVENT_TYPES
from services.features.schema import build_schema
from services.kafka.record_source import Record
from services.kafka.topics import partition_of
from services.settings.load import Settings
from services.store.folding import fold_users
from services.store.memory import MemoryRowStore
from services.store.protocol import StaleSchema
from services.store.schema_lineage import join_lineage
from tests.unit.consumers.streams import ANY_AGE, ENCODER, SCHEMA, START_S, arrays, behavior, behavior_event

PARTITIONS = 3
NOW_S = START_S + 1.0
YEAR_9999_S = 253_402_300_799.0
LENGTH = SCHEMA.count_length
SAID = [-1.5] * SCHEMA.config.opinion_width


def item_delta() -> ActivityDelta:
    part = ScenarioCounts(scenario_id="s0", counts=[1.0] * LENGTH, time_s=START_S, opinions=SAID)
    return ActivityDelta(
        item_id="i0",
        time_s=START_S,
        counts=[1.0] * LENGTH,
        scenarios=[part],
        opinions=SAID,
        returning=[0.5, 0.4, 0.3],
        holders=2.0,
        paid=[3.0, 1.0],
        schema_fingerprint=SCHEMA.fingerprint % 2**64,
    )


def scenario_delta() -> ActivityDelta:
    fingerprint = SCHEMA.fingerprint % 2**64
    return ActivityDelta(
        scenario_id="s0",
        time_s=START_S,
        counts=[1.0] * LENGTH,
        hours=[0.5] * 24,
        opinions=SAID,
        schema_fingerprint=fingerprint,
    )


def record(delta: ActivityDelta, offset: int = 0) -> Record:
    return Record("crossrec.activity", 0, offset, None, ActivityDeltas(deltas=[delta]).SerializeToString())


def test_deltas_are_read_from_records_to_the_bit() -> None:
    """Rows folded from records equal those of the deltas that the features' code computes, prices included."""
    events = arrays(behavior(200))
    store = MemoryRowStore()
    flags = fold_users(MemoryRowStore(), SCHEMA, events, ENCODER.fingerprint)
    outputs = pack_deltas("crossrec.activity", activity_deltas(SCHEMA, events, flags), PARTITIONS)
    assert [*range(PARTITIONS)] == sorted(output.partition for output in outputs)
    log = [Record(o.topic, o.partition, offset, o.key, o.value) for offset, o in enumerate(outputs)]
    ActivityHandler(store, SCHEMA, 1, TimeLimits()).fold(log)
    deltas = compute_deltas(SCHEMA, events, flags, "item")
    assert len(deltas) == len(store.rows["item_activity"])
    for number, (item,) in enumerate(deltas.group):
        row = store.rows["item_activity"][(item,)]
        np.testing.assert_array_equal(row["counts"], deltas.counts[number])
        priced = (row["last_value"], row["last_value_s"])
        assert priced == (deltas.last_value[number], deltas.last_value_s[number])


def test_deltas_add_up_and_repetitions_do_not() -> None:
    """A delta at or below the row's offset is skipped."""
    store = MemoryRowStore()
    handler = ActivityHandler(store, SCHEMA, 1, TimeLimits())
    handler.fold([record(item_delta(), 0), record(item_delta(), 1), record(scenario_delta(), 2)])
    handler.fold([record(item_delta(), 1), record(scenario_delta(), 2), record(scenario_delta(), 3)])
    assert [2.0] * LENGTH == store.rows["item_activity"][("i0",)]["counts"].tolist()
    assert [2.0] * LENGTH == store.rows["item_scenario_activity"][("i0", "s0")]["counts"].tolist()
    assert [1.0, 0.8, 0.6] == store.rows["item_activity"][("i0",)]["repeat_engagement"].tolist()
    assert 4.0 == store.rows["item_activity"][("i0",)]["unique_users"]
    assert [6.0, 2.0] == store.rows["item_activity"][("i0",)]["paid"].tolist()
    assert [1.0] * 24 == store.rows["scenario_activity"][("s0",)]["hours"].tolist()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda d: d.ClearField("item_id"), "subject"),
        (lambda d: setattr(d, "item_id", ""), "subject"),
        (lambda d: setattr(d, "item_id", "i\n0"), "item_id: holds a control character, U+000A"),
        (lambda d: setattr(d, "item_id", "i" * 129), "item_id: is 129 bytes long, at most 128"),
        (lambda d: setattr(d.scenarios[0], "scenario_id", "\u202e"), "scenarios[0].scenario_id: holds a format"),
        (lambda d: setattr(d, "schema_fingerprint", 7), "schema_fingerprint"),
        (lambda d: d.returning.pop(), "returning: 2 numbers"),
        (lambda d: d.paid.append(1.0), "paid: 3 numbers"),
        (lambda d: setattr(d, "holders", math.nan), "holders: not finite"),
        (lambda d: d.opinions.pop(), f"opinions: {len(SAID) - 1} numbers, the feature schema has {len(SAID)}"),
        (lambda d: d.opinions.__setitem__(0, math.nan), "opinions: not finite"),
        (lambda d: d.scenarios[0].opinions.__setitem__(0, -1e19), "scenarios[0].opinions: not finite, or beyond"),
        (lambda d: d.counts.pop(), f"counts: {LENGTH - 1} numbers, the feature schema has {LENGTH}"),
        (lambda d: d.counts.__setitem__(3, math.nan), "counts: not finite"),
        (lambda d: d.counts.__setitem__(3, math.inf), "counts: not finite"),
        (lambda d: d.hours.append(1.0), "hours: 1 numbers"),
        (lambda d: setattr(d, "time_s", math.nan), "time_s: not a time"),
        (lambda d: setattr(d, "time_s", math.inf), "time_s: not a time"),
        (lambda d: setattr(d, "time_s", YEAR_9999_S), "time_s: is 251702300498.000 s beyond"),
        (lambda d: setattr(d, "time_s", NOW_S + 300.5), "time_s: is 0.500 s beyond the tolerated future"),
        (
            lambda d: setattr(d, "time_s", NOW_S * 1000),
            "time_s: is 1698300000699.000 s beyond the tolerated fu",
        ),
        (lambda d: setattr(d, "time_s", NOW_S - 11 * DAY_S), "time_s: is 11.0 days ago; events older than 10 days"),
        (lambda d: setattr(d, "time_s", 0.0), "time_s: is 19"),
        (lambda d: d.counts.__setitem__(3, -1.0), "counts: not finite, or not from 0"),
        (lambda d: d.hours.extend([1.0] * 24), "hours: 24 numbers"),
        (lambda d: setattr(d, "last_value_time_s", NOW_S + 301), "last_value_time_s: is 1.000 s beyond"),
        (lambda d: setattr(d, "last_value_time_s", START_S - 20 * DAY_S), "last_value_time_s: is "),
        (lambda d: setattr(d.scenarios[0], "time_s", YEAR_9999_S), "scenarios[0].time_s: is "),
        (lambda d: setattr(d.scenarios[0], "time_s", 5.0), "scenarios[0].time_s: is 19"),
        (lambda d: setattr(d, "time_s", -1.0), "time_s: not a time"),
        (lambda d: setattr(d, "last_value", math.inf), "last_value: not finite"),
        (lambda d: setattr(d, "last_value_time_s", math.inf), "last_value_time_s: not a time"),
        (lambda d: d.scenarios[0].counts.append(1.0), "scenarios[0].counts"),
        (lambda d: setattr(d.scenarios[0], "time_s", math.inf), "scenarios[0].time_s"),
        (lambda d: setattr(d.scenarios[0], "scenario_id", ""), "scenarios[0]"),
    ],
)
def test_deltas_that_cannot_be_folded_are_dead_letters(change: Callable[[ActivityDelta], object], reason: str) -> None:
    """No part of the record is folded; the next record is."""
    broken = item_delta()
    change(broken)
    store = MemoryRowStore()
    times = TimeLimits(lambda: NOW_S, 300.0, 10 * DAY_S)
    outcome = ActivityHandler(store, SCHEMA, 1, times).fold([record(broken), record(item_delta(), 1)])
    (dead_letter,) = outcome.dead_letters
    assert 0 == dead_letter.record.offset
    assert dead_letter.reason.startswith(reason)
    assert [1.0] * LENGTH == store.rows["item_activity"][("i0",)]["counts"].tolist()


@pytest.mark.parametrize("value", [None, b"", b"\xff\xff\xff"])
def test_values_that_are_not_deltas_are_dead_letters(value: bytes | None) -> None:
    """Also null values: the topic is not compacted."""
    store = MemoryRowStore()
    outcome = ActivityHandler(store, SCHEMA, 1, TimeLimits()).fold([Record("crossrec.activity", 0, 0, b"i0", value)])
    assert 1 == len(outcome.dead_letters)
    assert not any(store.rows.values())


def test_deltas_are_judged_by_the_time_of_their_record() -> None:
    """A repeated batch is judged with the same result, however late; a record's time of the year 9999 is none."""
    delta, times = item_delta(), TimeLimits(lambda: START_S + 20 * DAY_S, 300.0, 10 * DAY_S)
    for time_s, good in ((START_S + DAY_S, True), (START_S + 11 * DAY_S, False), (START_S - 301, False)):
        at = replace(record(delta), time_s=time_s)
        assert good != bool(ActivityHandler(MemoryRowStore(), SCHEMA, 1, times).fold([at]).dead_letters)
    delta.time_s = YEAR_9999_S
    at = replace(record(delta), time_s=YEAR_9999_S)
    (dead_letter,) = ActivityHandler(MemoryRowStore(), SCHEMA, 1, times).fold([at]).dead_letters
    assert dead_letter.reason.startswith("time_s: is ")


def test_deltas_may_wait_as_long_as_kafka_retains_their_events() -> None:
    """An event of the greatest age, folded or replayed at the last moment, still counts; brokers' clocks may differ."""
    settings = Settings()
    times = delta_times(settings, lambda: NOW_S)
    assert (360.0, (300 + 30 + 30) * DAY_S) == (times.future_tolerance_s, times.max_age_s)
    assert math.inf == delta_times(Settings(gateway=ANY_AGE), lambda: NOW_S).max_age_s


def test_a_record_is_folded_whole_or_not_at_all() -> None:
    """One invalid delta makes the record a dead letter: replayed after a repair, it counts once."""
    broken = scenario_delta()
    broken.hours.pop()
    store = MemoryRowStore()
    value = ActivityDeltas(deltas=[item_delta(), broken]).SerializeToString()
    outcome = ActivityHandler(store, SCHEMA, 1, TimeLimits()).fold([Record("crossrec.activity", 0, 0, None, value)])
    assert ["hours: 23 numbers, the feature schema has 24"] == [
        dead_letter.reason for dead_letter in outcome.dead_letters
    ]
    assert not any(store.rows.values())


def test_deltas_of_a_subject_keep_their_partition_and_records_stay_small() -> None:
    """For any number of deltas: none is lost, and each has the partition of a record with its subject as key."""
    many = [ActivityDelta(item_id=f"i{number}", counts=[1.0] * 1000) for number in range(200)]
    outputs = pack_deltas("crossrec.activity", many, PARTITIONS)
    found = {
        delta.item_id: output.partition
        for output in outputs
        for delta in ActivityDeltas.FromString(output.value or b"").deltas
    }
    assert {delta.item_id: partition_of(delta.item_id.encode(), range(PARTITIONS)) for delta in many} == found
    assert 200 == sum(len(ActivityDeltas.FromString(output.value or b"").deltas) for output in outputs)
    assert max(len(output.value or b"") for output in outputs) <= RECORD_BYTES


def test_a_delta_too_large_for_a_record_is_split_within_itself() -> None:
    """Purchases in 6,000 scenarios: every record keeps to the bound, and the parts add up, wherever a crash is."""
    events = [
        behavior_event(number, scenario_id=f"s{number}".ljust(128, "x"), type="EVENT_TYPE_PURCHASE", value=2.0)
        for number in range(6000)
    ]
    read = arrays(events)
    flags = fold_users(MemoryRowStore(), SCHEMA, read, ENCODER.fingerprint)
    deltas = activity_deltas(SCHEMA, read, flags)
    (item,) = [delta for delta in deltas if delta.item_id]
    whole = ActivityDelta.FromString(item.SerializeToString())
    assert whole.ByteSize() > 1_500_000
    outputs = pack_deltas("crossrec.activity", deltas, PARTITIONS)
    assert max(len(output.value or b"") for output in outputs) <= RECORD_BYTES
    log = [Record(o.topic, o.partition or 0, offset, o.key, o.value) for offset, o in enumerate(outputs)]
    for size in (1, 2, len(log)):
        store = MemoryRowStore()
        handler = ActivityHandler(store, SCHEMA, 1, TimeLimits())
        for begin in range(0, len(log), size):
            for batch in (log[begin : begin + size], log[max(0, begin - 1) : begin + size]):
                assert [] == handler.fold(batch).dead_letters
        row = store.rows["item_activity"][("i0",)]
        np.testing.assert_array_equal(whole.counts, row["counts"])
        assert (whole.time_s, whole.last_value, whole.holders) == (
            row["time_s"],
            row["last_value"],
            row["unique_users"],
        )
        assert (list(whole.returning), list(whole.paid)) == (row["repeat_engagement"].tolist(), row["paid"].tolist())
        assert 6000 == len(store.rows["item_scenario_activity"]) == len(whole.scenarios)
        for part in whole.scenarios:
            stored = store.rows["item_scenario_activity"][("i0", part.scenario_id)]
            assert (list(part.counts), part.time_s) == (stored["counts"].tolist(), stored["time_s"])


def test_a_scenarios_delta_needs_its_hours() -> None:
    """A scenario's delta has twenty-four."""
    delta = scenario_delta()
    delta.hours.pop()
    outcome = ActivityHandler(MemoryRowStore(), SCHEMA, 1, TimeLimits()).fold([record(delta)])
    assert ["hours: 23 numbers, the feature schema has 24"] == [
        dead_letter.reason for dead_letter in outcome.dead_letters
    ]


def test_deltas_of_an_older_schema_are_folded() -> None:
    """Records that were in the topic when the consumers were upgraded are not lost."""
    store, newer = MemoryRowStore(), build_schema(replace(SCHEMA.config, event_ids=65))
    for schema in (SCHEMA, newer):
        join_lineage(store, schema)
    outcome = ActivityHandler(store, newer, 1, TimeLimits()).fold([record(item_delta())])
    assert [] == outcome.dead_letters
    row = store.rows["item_activity"][("i0",)]
    assert (LENGTH, newer.fingerprint) == (row["counts"].sum(), row["schema"])


def test_deltas_without_an_appended_event_type_are_folded() -> None:
    """Their counts are shorter: the missing type counts 0."""
    config = replace(SCHEMA.config, engagement={"click": 1.0})
    old, new = (build_schema(config, types) for types in (EVENT_TYPES[:-1], EVENT_TYPES))
    store = MemoryRowStore()
    for schema in (old, new):
        join_lineage(store, schema)
    delta = item_delta()
    for counts in (delta.counts, delta.scenarios[0].counts):
        del counts[old.count_length :]
    delta.schema_fingerprint = old.fingerprint % 2**64
    assert [] == ActivityHandler(store, new, 1, TimeLimits()).fold([record(delta)]).dead_letters
    expected = [1.0] * old.count_length + [0.0] * (LENGTH - old.count_length)
    assert expected == store.rows["item_activity"][("i0",)]["counts"].tolist()
    assert expected == store.rows["item_scenario_activity"][("i0", "s0")]["counts"].tolist()
    delta.counts.pop()
    (dead_letter,) = ActivityHandler(store, new, 1, TimeLimits()).fold([record(delta, 1)]).dead_letters
    assert dead_letter.reason.startswith(f"counts: {old.count_length - 1} numbers")


def test_deltas_of_a_newer_schema_stop_the_consumer() -> None:
    """They are valid for a newer consumer: as dead letters they would be lost. Nothing is written."""
    store, newer = MemoryRowStore(), build_schema(replace(SCHEMA.config, event_ids=65))
    for schema in (SCHEMA, newer):
        join_lineage(store, schema)
    delta = item_delta()
    delta.schema_fingerprint = newer.fingerprint % 2**64
    with pytest.raises(StaleSchema, match=f"the store has the newer {newer.fingerprint}"):
        ActivityHandler(store, SCHEMA, 1, TimeLimits()).fold([record(item_delta()), record(delta, 1)])
    assert not store.rows["item_activity"]
