"""Streamed rows equal replayed rows: the same history through Kafka and the consumers, and through the replay."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest

from crossrec.events.v1.events_pb2 import Entry
from export.replay.history import DatasetHistory, ItemScenarios
from export.replay.replay import Replay
from export.rows.requests import LabelledRequests
from services.features.catalogue import ItemState, ScenarioState
from services.features.config import DAY_S
from services.features.profile import no_updates
from services.infra.commands import Endpoints, InfraConfig, down, up
from services.settings.processes import CONSUMER_KINDS
from services.store.memory import MemoryRowStore
from tests.integration.consumer_harness import Stage, folded, running, staged
from tests.unit.consumers.streams import (
    CONFIG,
    ENCODER,
    SCHEMA,
    START_S,
    arrays,
    assert_rows,
    behavior,
    catalogue,
    item_update,
    pair_update,
    profiles,
    user_update,
    with_flavours,
)
from tests.waiting import wait_until

pytestmark = pytest.mark.parity

EVENTS = 4000
ITEMS, SCENARIOS, USERS = 60, 4, 100


@pytest.fixture
def infra(tmp_path: Path) -> Iterator[Endpoints]:
    config = InfraConfig(tmp_path / "infra")
    try:
        yield up(config)
    finally:
        down(config)


def time_us(entry: Entry) -> int:
    """Microseconds since 1970."""
    return int(getattr(entry, entry.WhichOneof("entry")).time.ToMicroseconds())


def later_updates(time_s: float) -> list[Entry]:
    """Updates: half of the items change category and brand, and their attributes in one scenario."""
    changed = range(0, ITEMS, 2)
    items = [
        with_flavours(
            item_update(item, time_s, categories=["new", f"d{item % 5}"], brand="other"), "mint", f"f{item % 7}"
        )
        for item in changed
    ]
    return items + [pair_update(item, 1, time_s, 7.0) for item in changed]


def user_updates(events: Sequence[Entry]) -> list[Entry]:
    """In time order: of every tenth event's user at the event's time, and of one user without events."""
    sent = [event.behavior_event for event in events[::10]]
    updates = [
        user_update(
            int(event.user_id[1:]), event.time.ToMicroseconds() / 1e6, 20.0 + number, ["cook", "pilot"][number % 2]
        )
        for number, event in enumerate(sent)
    ]
    return [user_update(USERS + 1, START_S), *updates]


def history_of(updates: Sequence[Entry], events: Sequence[Entry], users: Sequence[Entry] = ()) -> DatasetHistory:
    """The entries as the replay reads them from a data set."""
    nothing = np.zeros(0, object)
    pairs = [entry.item_scenario_update for entry in updates if entry.WhichOneof("entry") == "item_scenario_update"]
    return DatasetHistory(
        behavior=arrays(events),
        behavior_text=np.array([entry.behavior_event.text for entry in events], object),
        requests=LabelledRequests(
            nothing, nothing, nothing, nothing, np.zeros(0, np.int64), nothing, np.zeros(0), np.zeros((0, 0))
        ),
        items=[
            (update.item_id, item_state(entry))
            for entry in updates
            if entry.WhichOneof("entry") == "item_update" and (update := entry.item_update)
        ],
        item_scenarios=ItemScenarios(
            np.array([pair.item_id for pair in pairs], object),
            np.array([pair.scenario_id for pair in pairs], object),
            np.array([pair.time.ToMicroseconds() / 1e6 for pair in pairs]),
            np.array([[pair.attributes["shelves"]] for pair in pairs]),
        ),
        scenarios=[
            (update.scenario_id, ScenarioState(update.time.ToMicroseconds() / 1e6, update.name, update.description))
            for entry in updates
            if entry.WhichOneof("entry") == "scenario_update" and (update := entry.scenario_update)
        ],
        users=profiles(users) if users else no_updates(),
    )


def item_state(entry: Entry) -> ItemState:
    update = entry.item_update
    return ItemState(
        time_s=update.time.ToMicroseconds() / 1e6,
        title=update.title,
        description=update.description,
        categories=tuple(update.categories),
        brand=update.brand,
        price=update.price,
        attributes=dict(update.attributes),
        category_attributes={name: list(each.values) for name, each in update.category_attributes.items()},
    )


def send_and_wait(stage: Stage, entries: Sequence[Entry], kinds: Sequence[str]) -> None:
    stage.send(entries)
    for kind in kinds:
        wait_until(lambda kind=kind: folded(stage, kind))


def test_streamed_rows_are_the_replayed_rows(infra: Endpoints, tmp_path: Path) -> None:
    """All views, floats within 1e-9, with item updates in mid-stream, late updates of users and many small batches."""
    events = behavior(EVENTS, 3, USERS, ITEMS, SCENARIOS)
    half = EVENTS // 2
    first = sorted(catalogue(ITEMS, SCENARIOS), key=time_us)
    second = later_updates((time_us(events[half - 1]) + time_us(events[half])) // 2 / 1e6)
    replayed = MemoryRowStore()
    users = user_updates(events)
    replay = Replay(history_of([*first, *second], events, users), SCHEMA, ENCODER, replayed)
    replay.run(START_S + 60 * DAY_S, lambda *_: None)

    settings = {"max_poll_records": 300, "item_cache_age_s": 0.0}
    with staged(infra, tmp_path, CONFIG, **settings) as stage, ExitStack() as consumers:
        for kind in CONSUMER_KINDS:
            consumers.enter_context(running(stage, kind))
        send_and_wait(stage, first, ["item", "scenario"])
        send_and_wait(stage, [*users[half // 10 :], *events[:half]], ["behavior"])
        send_and_wait(stage, second, ["item"])
        send_and_wait(stage, [*events[half:], *users[: half // 10]], ["behavior", "activity"])
        features = {view.name for view in SCHEMA.views} - {"erased_user", "topic_state", "schema_lineage"}
        assert features == {name for name, rows in replayed.rows.items() if rows}
        assert_rows(replayed, stage.store)
