"""Consumers on a real Kafka and a real Valkey: shared partitions, stops, crashes; rows through Feast and back."""

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from crossrec.events.v1.events_pb2 import EventType
from services.features.feature import SCALAR, VARIABLE, Feature
from services.features.rows import Row, pack_rows
from services.features.schema import View
from services.store.protocol import Key, read_rows
from tests.integration.consumer_harness import (
    DEAD,
    SCHEMA,
    TIMEOUT_S,
    UPDATES,
    USER_VIEWS,
    BlockingStore,
    Stage,
    clicks,
    folded,
    process,
    running,
)
from tests.unit.consumers.streams import (
    ACTIVITY,
    assert_rows,
    behavior,
    behavior_event,
    erasure,
    fold_catalogue,
    replayed,
)
from tests.waiting import wait_until

pytestmark = pytest.mark.integration


def test_two_consumers_share_the_partitions(stage: Stage) -> None:
    """While one member joins and one leaves in mid-stream; every event counts once, in every row."""
    events = behavior(900, users=40)
    fold_catalogue(stage.store, UPDATES, SCHEMA)
    first, second = BlockingStore(stage.store), BlockingStore(stage.store)
    first.opened.set()
    second.opened.set()
    with running(stage, "activity"), running(stage, "behavior", second):
        with running(stage, "behavior", first):
            wait_until(lambda: stage.shares("behavior") == [2, 2])
            stage.send(events[:300])
            wait_until(lambda: stage.committed("behavior") >= 100)
            assert first.writes
            assert second.writes
            stage.send(events[300:700])
        stage.send(events[700:])
        wait_until(lambda: stage.shares("behavior") == [4])
        with running(stage, "behavior"):
            wait_until(lambda: folded(stage, "behavior"))
            wait_until(lambda: folded(stage, "activity"))
    assert_rows(replayed(UPDATES, events, SCHEMA), stage.store, (*USER_VIEWS, *ACTIVITY), SCHEMA)


def test_a_stop_finishes_the_batch_and_hands_over_at_once(stage: Stage) -> None:
    """The current batch is written and committed; the next consumer need not wait for the session to expire."""
    long_session = stage.settings.consumers.model_copy(update={"session_timeout_ms": 45_000})
    stage = replace(stage, settings=stage.settings.model_copy(update={"consumers": long_session}))
    store = BlockingStore(stage.store)
    with running(stage, "behavior", store) as stop:
        stage.send([behavior_event(1)])
        assert store.reached.wait(TIMEOUT_S)
        stop.set()
        store.opened.set()
    assert (1, 1.0) == (stage.committed("behavior"), clicks(stage, "u0"))
    stage.send([behavior_event(2)])
    begun = time.monotonic()
    with running(stage, "behavior"):
        wait_until(lambda: clicks(stage, "u0") > 1.9)
        wait_until(lambda: stage.committed("behavior") == 2)
    assert time.monotonic() - begun < 30


def test_killed_processes_leave_the_rows_of_a_single_fold(stage: Stage, tmp_path: Path) -> None:
    """Killed between two writes, in an open transaction, and in mid-stream; erasures and activity included."""
    events = behavior(1500, users=40)
    forgotten, place = "u3", 400
    # An erased user is new to every item afterwards; a user with queries only keeps the items' rows comparable.
    for event in (entry.behavior_event for entry in events):
        if event.user_id == forgotten:
            event.type = EventType.EVENT_TYPE_QUERY
            event.item_id, event.text = "", event.text or "tea"
            event.ClearField("value")
    fold_catalogue(stage.store, UPDATES, SCHEMA)
    stage.send([*events[:place], erasure(forgotten), *events[place:]])
    log = tmp_path / "consumer.log"
    with running(stage, "activity"):
        for moment, count in (("user_scenario", 5), ("transaction", 4)):
            before = stage.committed("behavior")
            with process(stage, log, moment, count) as child:
                assert DEAD == child.wait(TIMEOUT_S), log.read_text()
            assert before < stage.committed("behavior") < len(events)
        with process(stage, log) as child:
            before = stage.committed("behavior")
            wait_until(lambda: stage.committed("behavior") > before + 200)
            child.kill()
            assert DEAD == child.wait(TIMEOUT_S)
        assert stage.committed("behavior") < len(events)
        with process(stage, log) as child:
            wait_until(lambda: folded(stage, "behavior"))
            wait_until(lambda: folded(stage, "activity"))
            child.terminate()
            assert 0 == child.wait(TIMEOUT_S), log.read_text()
    left = [event for n, event in enumerate(events) if n >= place or event.behavior_event.user_id != forgotten]
    assert_rows(replayed(UPDATES, left, SCHEMA), stage.store, USER_VIEWS, SCHEMA)
    assert_rows(replayed(UPDATES, events, SCHEMA), stage.store, tuple(ACTIVITY), SCHEMA)


def value_of(feature: Feature, random: np.random.Generator) -> np.ndarray:
    """Any value that the feature may have: the largest keys, tiny and huge numbers, all kinds of text."""
    length = {VARIABLE: int(random.integers(0, 4)), SCALAR: 1}.get(feature.length, feature.length)
    match feature.dtype:
        case "float64":
            values = random.normal(size=length) * 10.0 ** random.integers(-300, 300, length)
        case "int64":
            values = random.integers(np.iinfo(np.int64).min, np.iinfo(np.int64).max, length, endpoint=True)
        case _:
            values = random.choice(np.array(["", "tea", "чай\x1f\n", "茶" * 300], object), length)
    return np.array(values[0], values.dtype) if feature.length == SCALAR else values


@pytest.mark.parametrize("view", SCHEMA.views, ids=lambda view: view.name)
def test_rows_come_back_as_they_were(view: View, stage: Stage) -> None:
    """To the bit, through Feast's values and back; among missing rows, also after overwrites and deletions."""
    random = np.random.default_rng(7)
    keys: list[Key] = [tuple(f"{name} {number} чай" for name in view.entities) for number in range(5)]
    unknown: Key = ("nobody",) * len(view.entities)
    for epoch in (1, 2):
        rows: list[Row] = []
        for number in range(len(keys)):
            row = {feature.name: value_of(feature, random) for feature in view.features}
            position, schema = np.array([epoch, 0, number]), np.array(SCHEMA.fingerprint)
            times = {name: np.array(1.7e9 + number) for name in ("time_s", "updated_s") if name in row}
            rows.append({**row, **times, "position": position, "schema": schema})
        stage.store.write(keys, pack_rows(view, rows))
        found = read_rows(stage.store, view, [unknown, *keys])
        assert found[0] is None
        for row, back in zip(rows, found[1:], strict=True):
            assert back is not None
            for name, value in row.items():
                assert (value.dtype, value.shape) == (back[name].dtype, back[name].shape)
                np.testing.assert_array_equal(value, back[name], err_msg=name)
    stage.store.delete(view, [unknown, *keys[:2]], (3, 0, 0))
    assert [True, True, False, False, False] == [row is None for row in read_rows(stage.store, view, keys)]
