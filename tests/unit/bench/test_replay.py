"""The replay's benchmark: what it makes and what it measures."""

from pathlib import Path

import numpy as np

from export.datasets.storage import DatasetReader
from tests.bench.replay import MARKS, measure
from tests.bench.replay_ratings import write_ratings


def test_ratings_have_their_own_times_and_the_same_seed_gives_the_same(tmp_path: Path) -> None:
    """Each is a labelled candidate and an event."""
    for name, seed in (("one", 0), ("same", 0), ("other", 1)):
        write_ratings(tmp_path / name, 300, seed)
    tables = {name: DatasetReader(tmp_path / name).table("events") for name in ("one", "same", "other")}
    assert tables["one"].equals(tables["same"])
    assert not tables["one"].equals(tables["other"])
    times = tables["one"]["time"].to_numpy()
    assert 600 == len(times)
    assert 290 < len(np.unique(times))


def test_time_rate_and_memory_are_measured(tmp_path: Path) -> None:
    """Of the replay alone, with memory as events go by."""
    write_ratings(tmp_path / "ratings", 300)
    found = measure(tmp_path / "ratings", tmp_path)
    assert 300 == found["training_rows"]
    assert 0 < found["cpu_seconds"]
    assert 0 < found["training_rows_per_s"]
    assert 1 <= len(found["memory_mib"]) <= MARKS + 1
    assert found["memory_mib"][-1] <= found["peak_memory_mib"]
