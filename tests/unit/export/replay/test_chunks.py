"""Behaviour read in chunks and shares equals the behaviour read at once."""

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from export.datasets.registry import import_dataset
from export.datasets.storage import DatasetReader
from export.replay.history import behavior_chunks, load_history
from services.features.config import FeatureConfig

CONFIG = FeatureConfig()
START_MS = 1_700_000_000_000


@pytest.fixture
def reader(tmp_path: Path) -> DatasetReader:
    """Two hundred clicks of eleven users, up to four at the same time, and candidates among them."""
    source = tmp_path / "source"
    source.mkdir()
    random = np.random.default_rng(0)
    events = []
    for number, second in enumerate(np.sort(random.integers(0, 80, 200)).tolist()):
        row = {"user_id": f"u{number % 11}", "scenario_id": "tv", "item_id": f"i{number % 7}"}
        events.append({**row, "type": "click", "time": START_MS + second * 1000, "event_id": f"e{number}"})
        if number % 5 == 0:
            label = {"label": number % 2, "request_id": f"r{number}"}
            events.append({**row, **label, "type": "candidate", "time": START_MS + second * 1000})
    (source / "events.jsonl").write_text("\n".join(json.dumps(event) for event in events) + "\n")
    import_dataset("jsonl", tmp_path / "data", source=source)
    return DatasetReader(tmp_path / "data")


@pytest.mark.parametrize("rows", [1, 3, 50, 1000])
@pytest.mark.parametrize("shares", [1, 3])
def test_shares_and_chunks_are_complete(rows: int, shares: int, reader: DatasetReader) -> None:
    """Every event once; each user in one share; no time in two chunks; positions rise."""
    whole = load_history(reader, CONFIG).behavior
    users: list[set[str]] = []
    keys: list[int] = []
    for share in range(shares):
        chunks = [events for events, _ in behavior_chunks(reader, CONFIG, np.inf, share, shares, rows)]
        times = [events.time_s for events in chunks]
        assert all(before[-1] < after[0] for before, after in pairwise(times))
        position = np.concatenate([events.position for events in chunks])
        np.testing.assert_array_equal(np.arange(len(position)), position[:, 2])
        users.append({user for events in chunks for user in events.user})
        keys += [key for events in chunks for key in events.event_key.tolist()]
    assert sorted(whole.event_key.tolist()) == sorted(keys)
    assert len(set(whole.user)) == sum(len(found) for found in users)


def test_later_events_are_skipped(reader: DatasetReader) -> None:
    """From `before_s` on."""
    whole = load_history(reader, CONFIG).behavior
    until_s = float(np.median(whole.time_s))
    found = [events for events, _ in behavior_chunks(reader, CONFIG, until_s, 0, 1, 7)]
    assert (whole.time_s < until_s).sum() == sum(len(events) for events in found)
    assert [] == list(behavior_chunks(reader, CONFIG, START_MS / 1000, 0, 1, 7))
