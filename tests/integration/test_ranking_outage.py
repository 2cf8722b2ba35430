"""Rank while a real Valkey hangs, is killed and returns."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from crossrec.ranking.v1 import ranking_pb2 as pb
from services.features.catalogue import ItemState, ScenarioState
from services.features.schema import build_schema
from services.infra.commands import InfraConfig, down, status, up
from services.ranking.cache.row_sources import open_row_sources
from services.ranking.model.ab_split import FixedModel
from services.ranking.pipeline import Ranker, rank
from services.registry.model import FakeModel
from services.settings.infrastructure import StoreSettings
from services.settings.load import Settings
from services.store.circuit_breaker import CircuitBreaker, CircuitState
from services.store.connect import open_rows
from services.store.folding import fold_states, index_scenarios
from services.store.protocol import RowStore

pytestmark = pytest.mark.integration

AWAY = pb.DEGRADATION_REASON_STORE_UNAVAILABLE
POPULARITY = pb.DEGRADATION_REASON_POPULARITY


@pytest.fixture
def own(tmp_path: Path) -> Iterator[InfraConfig]:
    """Servers of this test's own."""
    config = InfraConfig(tmp_path / "infra")
    yield config
    down(config)


def fill(store: RowStore, settings: Settings) -> None:
    """Two items and a scenario."""
    schema, vectors = build_schema(settings.features), np.zeros((2, 64))
    items, positions = [("a",), ("b",)], [(1, 0, 0), (1, 0, 1)]
    fold_states(store, schema, schema["item"], items, [ItemState(1.0, "A"), ItemState(1.0, "B")], positions, vectors, 7)
    scenario = [ScenarioState(1.0, "TV")]
    fold_states(store, schema, schema["scenario"], [("tv",)], scenario, [(1, 0, 0)], vectors[:1], 7)
    index_scenarios(store, schema, ["tv"], (1, 0, 0))


def reasons(ranker: Ranker) -> list[int]:
    """Why the answer to a request is degraded; it always has both items."""
    request = pb.RankRequest(user_id="u", scenario_id="tv", item_ids=["a", "b"])
    reply = pb.RankResponse.FromString(rank(ranker, request, lambda: 10.0))
    assert {"a", "b"} == {item.item_id for item in reply.items}
    return [degradation.reason for degradation in reply.degraded]


def within(seconds: float, condition: Callable[[], bool]) -> bool:
    """Whether the condition comes true in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
    return False


def test_requests_are_answered_while_valkey_hangs_or_is_down(own: InfraConfig, tmp_path: Path) -> None:
    """A hung and a killed Valkey give degraded answers from the last known rows; answers recover when it returns."""
    store = StoreSettings(
        url=up(own).valkey_address,
        registry=tmp_path / "registry.db",
        offline_dir=tmp_path / "offline",
        read_timeout_s=0.2,
        retry_after_s=0.1,
    )
    settings = Settings(store=store)
    rows = open_rows(settings)
    fill(rows, settings)
    schema = build_schema(settings.features)
    breaker = CircuitBreaker(rows, CircuitState(store.retry_after_s, store.failures))
    ranker = Ranker(
        schema, open_row_sources(breaker, schema, 7, 100, 0.0, 0.0, max_scenarios=64), FixedModel(FakeModel())
    )
    assert [pb.DEGRADATION_REASON_UNKNOWN_USER] == reasons(ranker)
    pid = next(server.pid for server in status(own) if server.name == "valkey") or 0
    os.kill(pid, signal.SIGSTOP)
    assert [AWAY, POPULARITY] == reasons(ranker)
    os.kill(pid, signal.SIGCONT)
    assert within(10, lambda: AWAY not in reasons(ranker))
    os.kill(pid, signal.SIGKILL)
    assert within(10, lambda: [AWAY, POPULARITY] == reasons(ranker))
    up(own)
    assert within(20, lambda: AWAY not in reasons(ranker))
