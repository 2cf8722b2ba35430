"""Events in scenarios that nobody registered: accepted, pooled or rejected."""

import pytest

from services.consumers.main import build_handler
from services.consumers.scenario_gate import POOL, ScenarioGate
from services.kafka.record_source import Record
from services.settings.load import Settings
from services.settings.processes import ConsumerSettings, UnregisteredScenarios
from services.store.memory import MemoryRowStore
from services.store.protocol import StoreUnavailable
from tests.unit.consumers.streams import (
    ANY_AGE,
    CONFIG,
    ENCODER,
    SCHEMA,
    behavior_event,
    erasure,
    fold_catalogue,
    item_update,
    records,
    scenario_update,
)

EVENTS = [behavior_event(n, scenario_id=f"s{n}") for n in range(4)]


def log() -> list[tuple[Record, object]]:
    entries = [*EVENTS, erasure("u9")]
    copies = [type(entry).FromString(entry.SerializeToString()) for entry in entries]
    return list(zip(records(entries), copies, strict=True))


def store_with_scenarios(*scenarios: int) -> MemoryRowStore:
    store = MemoryRowStore()
    fold_catalogue(store, [item_update(0), *map(scenario_update, scenarios)])
    return store


def fold(store: MemoryRowStore, mode: UnregisteredScenarios) -> list[str]:
    """Fold the events; returns the reasons of dead letters."""
    settings = Settings(features=CONFIG, gateway=ANY_AGE, consumers=ConsumerSettings(unregistered_scenarios=mode))
    handler = build_handler("behavior", settings, SCHEMA, store, lambda: ENCODER)
    return [dead_letter.reason for dead_letter in handler.fold(records(EVENTS)).dead_letters]


@pytest.mark.parametrize(
    ("mode", "scenarios", "rejected"),
    [("accept", ["s0", "s1", "s2", "s3"], 0), ("pool", ["s1", "s2", POOL], 0), ("reject", ["s1", "s2"], 2)],
)
def test_unregistered_scenarios_take_the_rows_that_the_setting_allows(
    mode: UnregisteredScenarios, scenarios: list[str], rejected: int
) -> None:
    """One name for all of them by default; what is folded counts for the user and the item in full."""
    store = store_with_scenarios(1, 2)
    reasons = fold(store, mode)
    assert rejected == len(reasons)
    assert all(reason.startswith("behavior_event.scenario_id: no such scenario is registered") for reason in reasons)
    assert [("u0", scenario) for scenario in scenarios] == sorted(store.rows["user_scenario"])
    row = store.rows["user"][("u0",)]
    assert scenarios == row["scenario_ids"].tolist()
    assert 4 - rejected == pytest.approx(row["counts"].reshape(-1, 3)[1, -1], rel=1e-4)


def test_pooling_is_the_default() -> None:
    """A holder of a token for behaviour cannot fill the store with names of scenarios."""
    assert "pool" == ConsumerSettings().unregistered_scenarios


def test_a_scenario_counts_from_its_registration_on_and_until_its_deletion() -> None:
    """An unknown one is looked for at once; a deleted one is known for as long as the ids may be old."""
    registered, now_s = {"s0"}, 0.0
    gate = ScenarioGate("pool", lambda: registered, 5.0, lambda: now_s)

    def pooled() -> list[str]:
        kept, rejected = gate.admit(log())
        assert [] == rejected
        return [entry.behavior_event.scenario_id for _, entry in kept][:4]

    assert ["s0", POOL, POOL, POOL] == pooled()
    registered = {"s0", "s1", "s2", "s3"}
    assert ["s0", "s1", "s2", "s3"] == pooled()
    registered = {"s0"}
    assert ["s0", "s1", "s2", "s3"] == pooled()
    now_s = 5.1
    assert ["s0", POOL, POOL, POOL] == pooled()


def test_erasures_pass_and_an_unavailable_store_rejects_nothing() -> None:
    """Other entries have no scenario; while it is not known what is registered, the batch waits."""
    kept, rejected = ScenarioGate("reject", set, 5.0).admit(log())
    assert ["user_erasure"] == [entry.WhichOneof("entry") for _, entry in kept]
    assert 4 == len(rejected)

    def unavailable() -> set[str]:
        raise StoreUnavailable("down")

    with pytest.raises(StoreUnavailable):
        ScenarioGate("reject", unavailable, 5.0).admit(log())
