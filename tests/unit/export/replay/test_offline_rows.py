"""The offline source: all versions of rows in few row groups, and nothing that looks whole after an interruption."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from export.replay.offline_rows import OfflineRecorder
from export.replay.replay import Replay
from export.rows.requests import LabelledRequests
from services.features.config import DAY_S, FeatureConfig
from services.features.schema import build_schema
from services.store.memory import MemoryRowStore
from services.text.protocol import HashingEncoder
from tests.unit.export.replay.test_replay import T0, history

SCHEMA = build_schema(FeatureConfig())


def record(out: Path, days: int, fail_on: float = 0.0) -> None:
    """Replay one event and one request a day."""
    times = [T0 + n * DAY_S for n in range(1, days)]
    with OfflineRecorder(MemoryRowStore(), SCHEMA, out) as recorder:

        def on_requests(time_s: float, _: LabelledRequests) -> None:
            recorder.flush()
            if time_s == fail_on:
                raise KeyboardInterrupt

        Replay(history(times, [time + 1 for time in times], []), SCHEMA, HashingEncoder(), recorder).run(
            T0 + 100 * DAY_S, on_requests
        )


def test_versions_of_many_times_share_a_row_group(tmp_path: Path) -> None:
    """A row group per time would cost more than folding."""
    record(tmp_path, 20)
    for view in ("user", "user_scenario", "item_activity", "scenario_activity"):
        file = pq.ParquetFile(tmp_path / f"{view}.parquet")
        assert (19, 1) == (file.metadata.num_rows, file.metadata.num_row_groups)


def test_an_interrupted_replay_leaves_no_file(tmp_path: Path) -> None:
    """Neither its own part of the versions, nor those of an earlier replay."""
    record(tmp_path, 20)
    with pytest.raises(KeyboardInterrupt):
        record(tmp_path, 20, fail_on=T0 + 5 * DAY_S + 1)
    assert [] == list(tmp_path.iterdir())
