"""Feast's offline source returns the replayed rows."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from export.replay.offline_rows import OfflineRecorder
from export.replay.replay import Replay
from export.rows.requests import LabelledRequests
from services.features.config import DAY_S
from services.features.rows import Row
from services.features.schema import build_schema
from services.settings.infrastructure import StoreSettings
from services.settings.load import Settings
from services.store.feast_registry import apply_definitions
from services.store.memory import MemoryRowStore
from services.store.protocol import read_rows
from services.text.protocol import HashingEncoder
from tests.unit.export.replay.test_replay import T0, history

pytestmark = pytest.mark.parity


def test_historical_features_are_the_replayed_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """get_historical_features returns, for a user at a request's time, the row of that time, bit by bit."""
    monkeypatch.setenv("CROSSREC_STORE__OFFLINE_DIR", str(tmp_path / "offline"))
    monkeypatch.delenv("CROSSREC_CONFIG", raising=False)
    store_settings = StoreSettings(registry=tmp_path / "registry.db", offline_dir=tmp_path / "offline")
    settings = Settings(store=store_settings)
    schema, encoder = build_schema(settings.features), HashingEncoder()
    times = [T0 + n * DAY_S for n in (5, 10, 15)]
    past = history([T0 + n * DAY_S / 2 for n in range(1, 40)], times, [])
    memory = MemoryRowStore()
    seen: list[Row] = []
    with OfflineRecorder(memory, schema, settings.store.offline_dir) as recorder:

        def on_requests(_: float, __: LabelledRequests) -> None:
            recorder.flush()
            (row,) = read_rows(memory, schema["user_scenario"], [("u", "s0")])
            assert row is not None
            seen.append(row)

        Replay(past, schema, encoder, recorder).run(T0 + 100 * DAY_S, on_requests)
    stamps = pd.to_datetime(np.array(times) * 1e9, utc=True)
    entities = pd.DataFrame({"user_id": "u", "scenario_id": "s0", "event_timestamp": stamps})
    names = [feature.name for feature in schema["user_scenario"].features]
    feast = apply_definitions(settings)
    features = [f"user_scenario:{name}" for name in names]
    found = feast.get_historical_features(entity_df=entities, features=features).to_df()
    found = found.sort_values("event_timestamp")
    for row, (_, historical) in zip(seen, found.iterrows(), strict=True):
        for name in names:
            np.testing.assert_array_equal(np.asarray(historical[name]), row[name], err_msg=name)
