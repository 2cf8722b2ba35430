"""Several runs of a data set, side by side in processes of their own."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from export.models.runs import read_run, run_directory
from export.training.run import train_run
from export.training.several import one_threaded, train_runs
from services.infra.folder_lock import FolderInUse, hold
from services.settings.load import Settings
from services.settings.training import TrainingSettings
from tests.unit.export.rows.synthetic_rows import write_rows

pytestmark = pytest.mark.integration

RUNS = [("logistic", 0), ("lightgbm", 0), ("logistic", 1)]


def settings_of(directory: Path, **training: int) -> Settings:
    write_rows(directory / "made" / "rows", splits=("train", "validation", "test"))
    chosen = TrainingSettings(epochs=2, **training)
    return Settings(data_dir=directory, registry_dir=directory / "registry", training=chosen)


def test_runs_side_by_side_are_those_one_after_the_other(tmp_path: Path) -> None:
    """To the bit, and none is registered; the log names each."""
    together, alone, lines = settings_of(tmp_path / "together"), settings_of(tmp_path / "alone"), list[str]()
    assert RUNS == one_threaded(together, "made", RUNS)
    train_runs(together, "made", RUNS, lines.append, cores=2)
    assert "training 3 of 3 missing runs, 2 at a time" in lines
    assert {f"trained {kind}, seed {seed}" for kind, seed in RUNS} == {
        line.rpartition(" (")[0] for line in lines if line.startswith("trained")
    }
    for kind, seed in RUNS:
        train_run(alone, "made", kind, seed, registers=False)
        first, second = (run_directory(each.data_dir / "made", kind, seed) for each in (together, alone))
        assert read_run(first)["registered"] is None
        tables = [pq.read_table(each / "predictions.parquet") for each in (first, second)]
        assert tables[0].equals(tables[1])


def test_one_core_and_shared_steps_train_one_after_the_other(tmp_path: Path) -> None:
    """In this process; threads that the settings ask for are not multiplied."""
    lines: list[str] = []
    train_runs(settings_of(tmp_path), "made", RUNS[:1], lines.append, cores=1)
    assert "training logistic, seed 0 (1 of 1 missing runs)" in lines
    assert [] == one_threaded(settings_of(tmp_path / "two", threads=2), "made", RUNS)


def test_what_stops_a_run_stops_the_command(tmp_path: Path) -> None:
    """With the error of the worker: another process trains one of them."""
    settings = settings_of(tmp_path)
    busy = run_directory(tmp_path / "made", "logistic", 1)
    busy.parent.mkdir()
    with hold(busy.with_name(f".{busy.name}.lock"), busy, "training"), pytest.raises(FolderInUse, match=busy.name):
        train_runs(settings, "made", RUNS, lambda _: None, cores=2)
