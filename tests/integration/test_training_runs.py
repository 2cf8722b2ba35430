"""Run directories and what is registered."""

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from export.models.runs import read_run
from export.rows.reader import RowSource
from export.rows.selection import Selection
from export.training.run import train_run
from services.settings.load import Settings
from services.settings.training import TrainingSettings
from tests.unit.export.rows.synthetic_rows import SOURCES, write_rows

pytestmark = pytest.mark.integration

QUICK = {"epochs": 2, "hidden": (8, 4), "hidden_g": (4,), "batch_rows": 120}


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    directory = tmp_path_factory.mktemp("data")
    write_rows(directory / "made" / "rows", splits=("train", "validation", "test"))
    return Settings(data_dir=directory, registry_dir=directory / "registry")


@pytest.fixture(scope="module")
def out(settings: Settings) -> Path:
    return train_run(settings, "made", "neural", 3, QUICK)


def test_a_run_holds_predictions_of_validation_and_test(settings: Settings, out: Path) -> None:
    """Each row once, with its number in rows.parquet and its split."""
    assert settings.data_dir / "made" / "runs" / "neural-seed3" == out
    table = pq.read_table(out / "predictions.parquet")
    assert ["int64", "string", "float"] == [str(field.type) for field in table.schema]
    for split in ("validation", "test"):
        rows = RowSource(out.parents[1] / "rows", split).columns("label")["row"]
        chosen = table.column("split").to_numpy(zero_copy_only=False) == split
        np.testing.assert_array_equal(rows, table.column("row").to_numpy()[chosen])
    probability = table.column("probability").to_numpy()
    assert ((probability > 0) & (probability < 1)).all()


def test_a_run_records_its_choices_and_metrics(out: Path) -> None:
    """Choices, epochs, metrics per split and scenario, and the registered version."""
    run = read_run(out)
    assert ("neural", 3, 2) == (run["kind"], run["seed"], run["training"]["epochs"])
    assert {"all", "mail", "shelf"} == set(run["test"])
    assert run["onnx_difference_max"] <= 1e-5
    assert run["onnx_batched_difference_max"] <= 1e-5
    manifest = json.loads((Path(run["registered"]) / "manifest.json").read_text())
    assert ("neural", 1, SOURCES) == (manifest["name"], manifest["version"], manifest["sources"])
    assert {"model.onnx", "batched.onnx", "samples.npz"} == set(manifest["files"])
    assert not (out / "checkpoint.pt").exists()


def test_transfer_weights_are_summed_up_over_test_contexts(out: Path) -> None:
    """Mean and deviation of M[i,j], a row per target scenario."""
    transfer = json.loads((out / "transfer.json").read_text())
    assert SOURCES == transfer["sources"]
    for name in ("mean", "sd"):
        assert (3, 3) == np.array(transfer[name]).shape
    assert (0 < np.array(transfer["mean"])).all()
    assert (np.array(transfer["mean"]) < 1).all()


def test_a_run_holds_what_its_parts_say_of_the_test_rows(out: Path) -> None:
    """P of the target scenario, and the probability without each source."""
    table = pq.read_table(out / "sources.parquet")
    np.testing.assert_array_equal(
        RowSource(out.parents[1] / "rows", "test").columns("label")["row"], table.column("row").to_numpy()
    )
    own, without = table.column("own").to_numpy(), table.column("without").combine_chunks()
    assert ((own > 0) & (own < 1)).all()
    assert 3 * len(own) == len(without.flatten())


def test_a_finished_run_is_kept_on_resume_and_only_then(settings: Settings, out: Path) -> None:
    """Resuming with the same choices does nothing; with others, or without resuming, the run is made again."""
    written = (out / "run.json").stat().st_mtime_ns
    lines: list[str] = []
    train_run(settings, "made", "neural", 3, QUICK, log=lines.append, resume=True)
    assert [f"neural: {out} is finished"] == lines
    assert written == (out / "run.json").stat().st_mtime_ns
    train_run(settings, "made", "neural", 3, {**QUICK, "epochs": 1}, resume=True)
    assert 1 == len(read_run(out)["epochs"])


def test_models_of_a_selection_are_not_registered(settings: Settings) -> None:
    """An ablation lies beside the runs and never becomes the newest version that a server would load."""
    selection = Selection(target_share={"mail": 0.5}, dropped_features=frozenset({"item/price"}))
    out = train_run(settings, "made", "logistic", 0, {"epochs": 1}, selection)
    assert "ablations" == out.parent.name
    run = read_run(out)
    assert run["registered"] is None
    assert ["item/price"] == run["selection"]["dropped_features"]
    assert not (Path(settings.registry_dir) / "logistic").exists()


def test_a_measurement_registers_nothing(settings: Settings) -> None:
    """A later `train --resume` takes its run for unfinished, and registers."""
    out = train_run(settings, "made", "past_count", 0, {"epochs": 1}, registers=False)
    assert read_run(out)["registered"] is None
    assert not (Path(settings.registry_dir) / "past_count").exists()
    train_run(settings, "made", "past_count", 0, {"epochs": 1}, resume=True)
    assert (Path(settings.registry_dir) / "past_count" / "1").exists()


def test_settings_override_the_choices_of_a_kind(settings: Settings) -> None:
    """`[training]` beats the kind, flags beat both."""
    chosen = settings.model_copy(update={"training": TrainingSettings(epochs=2, batch_rows=100)})
    run = read_run(train_run(chosen, "made", "popularity", 1, {"epochs": 1}))
    assert (1, 100) == (run["training"]["epochs"], run["training"]["batch_rows"])
    run_directory = chosen.data_dir / "made" / "runs" / "popularity-seed1"
    assert not [name for name in ("transfer.json", "sources.parquet") if (run_directory / name).exists()]
