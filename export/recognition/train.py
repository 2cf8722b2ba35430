"""Trains a scenario recogniser from a data set: samples, forest, ONNX export, registration, report.

Knows where files are written; each step is a module of its own.
"""

import json
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from export.datasets.storage import DatasetReader
from export.recognition.forest import ForestConfig, ForestRecogniser, format_tree, train_forest, train_tree
from export.recognition.metrics import posterior_metrics
from export.recognition.onnx_forest import check_recogniser, export_recogniser
from export.recognition.samples import OnProgress, Samples, make_samples, write_samples
from services.features.rows import Floats
from services.features.schema import build_schema
from services.registry.writer import register
from services.settings.load import Settings

NAME = "recogniser"
REPORTED = ("accuracy", "macro_f1", "log_loss", "ece", "ece_classwise")


@dataclass(frozen=True)
class TrainedRecogniser:
    """Result of training: directory of the registered version, report, and file of the report."""

    directory: str
    report: dict[str, Any]
    report_file: Path


def train_recogniser(
    settings: Settings, data: str, limit: int, config: ForestConfig, on_progress: OnProgress = lambda *_: None
) -> TrainedRecogniser:
    """Make samples, train, export, check and register; writes samples and report below the data set's directory."""
    root = settings.data_dir / data
    samples = make_samples(build_schema(settings.features), DatasetReader(root), limit, config.seed, on_progress)
    write_samples(samples, root / "recognition")
    recogniser = train_forest(samples, config)
    tree = train_tree(samples, config)
    report = compare_with_baselines(
        samples, recogniser, tree.predict_proba(samples.in_split("test").features), format_tree(tree, samples)
    )
    directory = _register_recogniser(settings.registry_dir, samples, recogniser, config)
    file = root / "experiments" / f"{NAME}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(report, indent=2) + "\n")
    return TrainedRecogniser(directory, report, file)


def _register_recogniser(registry: str, samples: Samples, recogniser: ForestRecogniser, config: ForestConfig) -> str:
    taken = ("schema_fingerprint", "features", "inputs", "scenarios", "sources", "source_only", "data")
    manifest = {"kind": NAME, "seed": config.seed, **{name: samples.info[name] for name in taken}}
    training = {**asdict(config), "leaf_samples": recogniser.forest.min_samples_leaf}
    metrics: dict[str, Any] = {"kind": NAME, "training": training, "counts": samples.info["counts"]}
    for split in ("validation", "test"):
        chosen = samples.in_split(split)
        metrics[split] = {"all": posterior_metrics(chosen.target, recogniser.posterior(chosen.features))}
    with tempfile.TemporaryDirectory() as folder:
        onnx = Path(folder) / "model.onnx"
        export_recogniser(recogniser, len(samples.info["inputs"]), onnx)
        metrics["onnx_difference_max"] = check_recogniser(recogniser, onnx, samples.features)
        return register(registry, NAME, onnx, manifest, metrics)


def compare_with_baselines(
    samples: Samples, recogniser: ForestRecogniser, by_tree: Floats, tree: str
) -> dict[str, Any]:
    """The report: metrics of the forest on the test split, beside baselines, the readable tree and the bound.

    The bound: accuracy and log loss of a recogniser that sees all events of a context, of which one is the target.
    """
    test = samples.in_split("test")
    forest = posterior_metrics(test.target, recogniser.posterior(test.features))
    majority = posterior_metrics(test.target, np.tile(class_shares(samples), (len(test.target), 1)))
    prior, single = posterior_metrics(test.target, test.prior), posterior_metrics(test.target, by_tree)
    bound = {"accuracy": float(test.contexts.share.mean()), "log_loss": float(test.contexts.entropy.mean())}
    return {
        "scenarios": samples.info["scenarios"],
        "samples": samples.info["counts"],
        **{name: forest[name] for name in ("confusion", *REPORTED)},
        "baselines": {"majority": majority, "user_prior": prior},
        "decision_tree": {**single, "text": tree},
        "bound": bound,
    }


def class_shares(samples: Samples) -> Floats:
    """Shares of the scenarios among the training samples, [K]."""
    counts = np.bincount(samples.in_split("train").target, minlength=len(samples.info["scenarios"]))
    shares: Floats = counts / counts.sum()
    return shares
