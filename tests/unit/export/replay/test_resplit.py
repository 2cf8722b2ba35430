"""Training rows split anew for comparisons: other splits, the same features."""

from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from export.datasets.errors import DatasetError
from export.replay.resplit import resplit_data
from export.rows.reader import RowSource
from services.settings.load import Settings, load_settings
from tests.unit.export.rows.synthetic_rows import write_rows


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("CROSSREC_DATA_DIR", str(tmp_path))
    write_rows(tmp_path / "mine" / "rows")
    (tmp_path / "mine" / "dataset.json").write_text("{}")
    return load_settings()


def test_only_splits_change(settings: Settings) -> None:
    """Every row is there with its features and its request, in about these shares; the data set's own rows stay."""
    before = (settings.data_dir / "mine" / "rows" / "rows.parquet").read_bytes()
    name = resplit_data(settings, "mine", "time")
    assert "mine/splits/80-10-10-by-time-seed0" == name
    old, new = (pq.read_table(settings.data_dir / place / "rows" / "rows.parquet") for place in ("mine", name))
    assert old.drop_columns("split").equals(new.drop_columns("split"))
    assert Counter(new["split"].to_pylist()).keys() == {"train", "validation", "test"}
    parts = {split: RowSource(settings.data_dir / name / "rows", split) for split in ("train", "validation", "test")}
    assert [0.8, 0.1, 0.1] == pytest.approx([len(part) / len(old) for part in parts.values()], abs=0.04)
    requests = set(zip(new["request_id"].to_pylist(), new["split"].to_pylist(), strict=True))
    assert len(requests) == len(set(new["request_id"].to_pylist()))
    batch = next(iter(parts["test"].batches()))
    assert len(batch.behavior) == len(np.unique(batch.row_context))
    assert before == (settings.data_dir / "mine" / "rows" / "rows.parquet").read_bytes()


def test_rows_are_split_again_after_a_replay_only(settings: Settings) -> None:
    """The same split is kept, so that finished runs stay valid; rows of another replay are split."""
    path = settings.data_dir / resplit_data(settings, "mine", "user_time") / "rows" / "rows.parquet"
    first = path.stat().st_ino, path.stat().st_mtime_ns
    resplit_data(settings, "mine", "user_time")
    assert first == (path.stat().st_ino, path.stat().st_mtime_ns)
    write_rows(settings.data_dir / "mine" / "rows", contexts=60)
    resplit_data(settings, "mine", "user_time")
    assert 360 == pq.read_metadata(path).num_rows


def test_an_unknown_method_is_named(settings: Settings) -> None:
    """With those that there are."""
    with pytest.raises(DatasetError, match="split: 'leave_one_out' is none of time, user, random, user_time"):
        resplit_data(settings, "mine", "leave_one_out")
