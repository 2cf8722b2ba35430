"""A recogniser from data to registry, on a data set in which the scenario depends on time, device and user."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from export.datasets.storage import DatasetReader
from export.onnx_check import ExportMismatch
from export.recognition.calibration import PosteriorCalibration, fit_calibration
from export.recognition.contexts import RecognitionError
from export.recognition.forest import ForestConfig, ForestRecogniser, train_forest
from export.recognition.metrics import calibration_error, posterior_metrics
from export.recognition.onnx_forest import check_recogniser, export_recogniser
from export.recognition.samples import Samples, make_samples
from export.recognition.train import TrainedRecogniser, train_recogniser
from services.features.config import FeatureConfig
from services.features.schema import build_schema
from services.ranking.model.onnx_recogniser import open_recogniser
from services.registry.reader import ModelMismatch, ModelUnavailable, Registry
from services.settings.load import Settings
from tests.unit.export.recognition.devices import SCENARIOS_OF_ALL, config, write_devices

SCHEMA = build_schema(config())
FOREST = ForestConfig(trees=40, leaf_samples=(40,))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recognition")
    write_devices(folder / "devices")
    return folder


@pytest.fixture(scope="module")
def trained(root: Path) -> TrainedRecogniser:
    settings = Settings(data_dir=root, registry_dir=root / "registry", features=config())
    return train_recogniser(settings, "devices", 100_000, FOREST)


@pytest.fixture(scope="module")
def samples(root: Path) -> Samples:
    return make_samples(SCHEMA, DatasetReader(root / "devices"), 2_000, 3)


def test_the_forest_beats_majority_and_habits_with_an_informative_context(trained: TrainedRecogniser) -> None:
    """On log loss by a wide margin, on accuracy too; the bound of a context with one scenario is certainty."""
    report = trained.report
    for baseline in report["baselines"].values():
        assert report["log_loss"] < baseline["log_loss"] - 0.15
        assert report["accuracy"] > baseline["accuracy"] + 0.1
    assert {"accuracy": 1.0, "log_loss": 0.0} == report["bound"]


def test_the_posterior_is_calibrated(trained: TrainedRecogniser) -> None:
    """A confidence of 70 % is right in 70 %, on 6,000 contexts after those it was calibrated on."""
    assert 6_000 < trained.report["samples"]["test"]
    assert trained.report["ece"] <= 0.03
    assert trained.report["ece_classwise"] <= 0.03


def test_report_and_registry_describe_the_trained_recogniser(trained: TrainedRecogniser) -> None:
    """The files are what was returned; the readable tree splits on the device."""
    report = json.loads(trained.report_file.read_text())
    assert trained.report == report
    assert list(SCENARIOS_OF_ALL) == report["scenarios"]
    assert report["samples"]["test"] == np.sum(report["confusion"])
    assert "context_big_screen" in report["decision_tree"]["text"]
    assert {"model.onnx", "manifest.json", "metrics.json"} == {path.name for path in Path(trained.directory).iterdir()}
    metrics = json.loads((Path(trained.directory) / "metrics.json").read_text())
    assert report["log_loss"] == metrics["test"]["all"]["log_loss"]
    assert metrics["onnx_difference_max"] <= 1e-5


def test_samples_are_written_as_parquet(trained: TrainedRecogniser) -> None:
    """One row per context, as wide as its names."""
    folder = trained.report_file.parents[1] / "recognition"
    info, table = json.loads((folder / "recognition.json").read_text()), pq.read_table(folder / "samples.parquet")
    assert 16_000 == table.num_rows == sum(info["counts"].values())
    assert len(info["inputs"]) == table.schema.field("features").type.list_size


def test_serving_opens_the_registered_recogniser(trained: TrainedRecogniser, root: Path) -> None:
    """The newest, or the version that is named; both give the same."""
    newest = open_recogniser(Registry(root / "registry"), "recogniser", SCHEMA, required=False)
    named = open_recogniser(Registry(root / "registry"), "recogniser/1", SCHEMA, required=True)
    assert newest is not None
    assert named is not None
    assert ("recogniser/1", SCENARIOS_OF_ALL) == (newest.version, newest.scenarios)
    assert Path(trained.directory) == root / "registry" / "recogniser" / "1"


def test_a_recogniser_that_is_missing_is_an_error_only_if_it_was_chosen(
    tmp_path: Path, trained: TrainedRecogniser
) -> None:
    """The message names the setting, the registry and the command."""
    assert open_recogniser(Registry(tmp_path), "recogniser", SCHEMA, required=False) is None
    assert open_recogniser(Registry(Path(trained.directory).parents[1]), "", SCHEMA, required=True) is None
    with pytest.raises(ModelUnavailable, match=r"ranking\.recogniser: no version of recogniser.*train-recogniser"):
        open_recogniser(Registry(tmp_path), "recogniser", SCHEMA, required=True)
    with pytest.raises(ModelUnavailable, match="no version 7 of recogniser"):
        open_recogniser(Registry(Path(trained.directory).parents[1]), "recogniser/7", SCHEMA, required=False)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"format": 9}, "format 9"),
        ({"schema_fingerprint": 1}, "feature schema 1 in the recogniser"),
        ({"scenarios": ["desktop", "phone", "moon"]}, "scenarios .*moon"),
        ({"scenarios": ["desktop", "phone"]}, "its graph has"),
        ({"inputs": ["hour_sin"]}, "inputs: .*hour_cos.* on one side only"),
        ({"sources": None}, "lacks sources"),
    ],
    ids=["format", "schema", "unknown scenario", "fewer scenarios", "inputs", "missing field"],
)
def test_a_manifest_that_does_not_match_is_rejected(
    tmp_path: Path, trained: TrainedRecogniser, change: dict[str, Any], reason: str
) -> None:
    """Naming what differs, even where the recogniser was not chosen by name."""
    directory = tmp_path / "recogniser" / "1"
    directory.mkdir(parents=True)
    (directory / "model.onnx").write_bytes((Path(trained.directory) / "model.onnx").read_bytes())
    manifest = {**json.loads((Path(trained.directory) / "manifest.json").read_text()), **change}
    kept = {name: value for name, value in manifest.items() if value is not None}
    (directory / "manifest.json").write_text(json.dumps(kept))
    with pytest.raises(ModelMismatch, match=reason):
        open_recogniser(Registry(tmp_path), "recogniser", SCHEMA, required=False)


def test_other_features_are_an_error_that_names_them(trained: TrainedRecogniser) -> None:
    """The error of a server with another context attribute names the differing choice."""
    other = build_schema(FeatureConfig(text_dims=4))
    with pytest.raises(ModelMismatch, match=r"features\.attributes is .*big_screen"):
        open_recogniser(Registry(Path(trained.directory).parents[1]), "recogniser", other, required=False)


def test_samples_are_reproducible_and_bounded(samples: Samples, root: Path) -> None:
    """The same seed takes the same contexts, at most as many as wanted; another seed others."""
    again = make_samples(SCHEMA, DatasetReader(root / "devices"), 2_000, 3)
    np.testing.assert_array_equal(samples.features, again.features)
    np.testing.assert_array_equal(samples.target, again.target)
    other = make_samples(SCHEMA, DatasetReader(root / "devices"), 2_000, 4)
    assert 2_000 == len(samples.target) == len(other.target)
    assert samples.contexts.event.tolist() != other.contexts.event.tolist()


def test_splits_follow_the_labelled_rows_in_time(samples: Samples) -> None:
    """Every context of training lies before validation, and that before test."""
    bounds = samples.info["validation_start_s"], samples.info["test_start_s"]
    times = {split: samples.in_split(split).contexts.time_s for split in ("train", "validation", "test")}
    assert times["train"].max() < bounds[0] <= times["validation"].min()
    assert times["validation"].max() < bounds[1] <= times["test"].min()


def test_the_first_context_of_a_user_has_no_feature_of_itself(samples: Samples) -> None:
    """The event that is the target, and all later ones, are in no feature of its context."""
    names = samples.info["inputs"]
    own = [place for place, name in enumerate(names) if name.startswith(("own_", "last"))]
    first = samples.features[0]
    assert 0 == np.abs(first[own]).sum()
    since = samples.features[:, [place for place, name in enumerate(names) if name.startswith("days_since")]]
    assert (since > 0).all()


def test_a_data_set_with_too_few_contexts_is_an_error(tmp_path: Path) -> None:
    """The only context lies after training: nothing can be learnt, and the counts are named."""
    reader = write_devices(tmp_path / "small", users=2, hours=1, per_hour=1)
    with pytest.raises(RecognitionError, match="there are 0 scenarios and 0 contexts in train"):
        make_samples(SCHEMA, reader, 100, 0)


def test_a_graph_with_other_results_is_rejected(samples: Samples, tmp_path: Path) -> None:
    """The check compares with scikit-learn on real samples."""
    recogniser = train_forest(samples, ForestConfig(trees=3, leaf_samples=(50,)))
    export_recogniser(recogniser, samples.features.shape[1], tmp_path / "model.onnx")
    assert check_recogniser(recogniser, tmp_path / "model.onnx", samples.features) <= 1e-5
    colder = ForestRecogniser(recogniser.forest, PosteriorCalibration(2.0, recogniser.calibration.bias))
    with pytest.raises(ExportMismatch, match="2000 real samples"):
        check_recogniser(colder, tmp_path / "model.onnx", samples.features)


def test_calibration_undoes_overconfidence() -> None:
    """Log-probabilities that were doubled come back to about half, without bias."""
    random = np.random.default_rng(0)
    honest = random.dirichlet(np.ones(3) * 2, 20_000)
    target = (honest.cumsum(axis=1) < random.random((20_000, 1))).sum(axis=1)
    sharp = honest**2 / (honest**2).sum(axis=1, keepdims=True)
    found = fit_calibration(sharp, target)
    assert pytest.approx(0.5, abs=0.02) == found.slope
    assert pytest.approx(0.0, abs=0.05) == np.ptp(found.bias)
    assert calibration_error(found.apply(sharp).max(axis=1), found.apply(sharp).argmax(axis=1) == target) < 0.02


def test_metrics_of_a_small_example() -> None:
    """Calculated by hand: two of three right, one bin each."""
    posterior = np.array([[0.9, 0.1], [0.6, 0.4], [0.3, 0.7]])
    made = posterior_metrics(np.array([0, 1, 1]), posterior)
    assert [[1, 0], [1, 1]] == made["confusion"]
    assert pytest.approx(2 / 3) == made["accuracy"]
    assert pytest.approx(2 / 3) == made["macro_f1"]
    assert pytest.approx(-np.log(0.9 * 0.4 * 0.7) / 3) == made["log_loss"]
    assert pytest.approx((0.1 + 0.6 + 0.3) / 3) == made["ece"]
