"""From a data set to training rows: whatever part of it is in memory at once."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from export.datasets.storage import DatasetReader
from export.replay import pipeline
from export.replay.history import labelled_chunks, load_history
from export.rows.reader import read_info
from services.features.config import FeatureConfig
from services.settings.infrastructure import StoreSettings
from services.settings.load import Settings
from services.text.protocol import HashingEncoder
from tests.bench.replay_ratings import write_ratings

RATINGS = 300


@pytest.fixture
def reader(tmp_path: Path) -> DatasetReader:
    write_ratings(tmp_path / "data", RATINGS)
    return DatasetReader(tmp_path / "data")


def test_chunks_hold_everything_once_and_end_at_labelled_rows(reader: DatasetReader) -> None:
    """The rows of one time stay together; positions go on from chunk to chunk."""
    config = FeatureConfig()
    whole, chunks = load_history(reader, config), list(labelled_chunks(reader, config, 70))
    assert 5 < len(chunks)
    for name in ("user", "time_s", "position", "event_key"):
        found = np.concatenate([getattr(chunk.behavior, name) for chunk in chunks])
        np.testing.assert_array_equal(getattr(whole.behavior, name), found)
    found = np.concatenate([chunk.requests.item for chunk in chunks])
    np.testing.assert_array_equal(whole.requests.item, found)
    labelled = set(whole.requests.time_s.tolist())
    for chunk, following in pairwise(chunks):
        assert chunk.time_s[-1] < chunk.until_s == following.time_s[0]
        assert chunk.until_s in labelled
    assert np.inf == chunks[-1].until_s


def test_chunks_do_not_change_rows(reader: DatasetReader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Training rows and offline rows are those of a replay that reads the history at once."""
    for name, rows in (("whole", 10_000), ("chunks", 70)):
        monkeypatch.setattr(pipeline, "CHUNK_ROWS", rows)
        settings = Settings(store=StoreSettings(offline_dir=tmp_path / name / "offline"))
        pipeline.replay_rows(settings, reader, tmp_path / name / "rows", 1.0, encoder=HashingEncoder())
    assert RATINGS == read_info(tmp_path / "chunks" / "rows")["counts"]["rows"]
    for file in ("rows", "contexts", "moments"):
        tables = [pq.read_table(tmp_path / name / "rows" / f"{file}.parquet") for name in ("whole", "chunks")]
        assert tables[0].equals(tables[1])
    for view in ("user", "user_scenario", "item_activity", "scenario_activity", "facet_activity"):
        tables = [pq.read_table(tmp_path / name / "offline" / f"{view}.parquet") for name in ("whole", "chunks")]
        assert sorted(map(repr, tables[0].to_pylist())) == sorted(map(repr, tables[1].to_pylist()))


def test_progress_counts_all_rows(reader: DatasetReader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It never falls, and ends with everything."""
    monkeypatch.setattr(pipeline, "CHUNK_ROWS", 70)
    settings = Settings(store=StoreSettings(offline_dir=tmp_path / "offline"))
    seen: list[float] = []
    pipeline.replay_rows(
        settings, reader, tmp_path / "rows", 0.0, lambda done, total: seen.append(done / total), HashingEncoder()
    )
    assert sorted(seen) == seen
    assert 1.0 == seen[-1]
