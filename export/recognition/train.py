"""From a data set to a registered recogniser and a report: samples, forest, ONNX, registry, comparison.

Knows where things are written; what each step does is its own module's matter.
"""

import json
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from export.datasets.storage import DatasetReader
from export.recognition.forest import ForestConfig, Recogniser, train_forest, train_tree, tree_text
from export.recognition.metrics import summary
from export.recognition.onnx_forest import check_recogniser, export_recogniser
from export.recognition.samples import Progress, Samples, make_samples, write_samples
from services.features.rows import Floats
from services.features.schema import build_schema
from services.registry.writer import register
from services.settings.load import Settings

NAME = "recogniser"
REPORTED = ("accuracy", "macro_f1", "log_loss", "ece", "ece_classwise")


@dataclass(frozen=True)
class Trained:
    """What training left behind: the registered version, the report and where it lies."""

    directory: str
    report: dict[str, Any]
    report_file: Path


def train_recogniser(
    settings: Settings, data: str, limit: int, config: ForestConfig, progress: Progress = lambda *_: None
) -> Trained:
    """Make samples, train, export, check and register; writes samples and report below the data set's directory."""
    root = settings.data_dir / data
    samples = make_samples(build_schema(settings.features), DatasetReader(root), limit, config.seed, progress)
    write_samples(samples, root / "recognition")
    recogniser = train_forest(samples, config)
    tree = train_tree(samples, config)
    report = compare(samples, recogniser, tree.predict_proba(samples.of("test").features), tree_text(tree, samples))
    directory = _registered(settings.registry_dir, samples, recogniser, config)
    file = root / "experiments" / f"{NAME}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(report, indent=2) + "\n")
    return Trained(directory, report, file)


def _registered(registry: str, samples: Samples, recogniser: Recogniser, config: ForestConfig) -> str:
    taken = ("schema_fingerprint", "features", "inputs", "scenarios", "sources", "source_only", "data")
    manifest = {"kind": NAME, "seed": config.seed, **{name: samples.info[name] for name in taken}}
    training = {**asdict(config), "leaf_samples": recogniser.forest.min_samples_leaf}
    metrics: dict[str, Any] = {"kind": NAME, "training": training, "counts": samples.info["counts"]}
    for split in ("validation", "test"):
        chosen = samples.of(split)
        metrics[split] = {"all": summary(chosen.target, recogniser.posterior(chosen.features))}
    with tempfile.TemporaryDirectory() as folder:
        onnx = Path(folder) / "model.onnx"
        export_recogniser(recogniser, len(samples.info["inputs"]), onnx)
        metrics["onnx_difference_max"] = check_recogniser(recogniser, onnx, samples.features)
        return register(registry, NAME, onnx, manifest, metrics)


def compare(samples: Samples, recogniser: Recogniser, by_tree: Floats, tree: str) -> dict[str, Any]:
    """The report: the forest on the test split against what needs no training."""
    test, shares = samples.of("test"), class_shares(samples)
    forest = summary(test.target, recogniser.posterior(test.features))
    majority = summary(test.target, np.tile(shares, (len(test.target), 1)))
    prior, single = summary(test.target, test.prior), summary(test.target, by_tree)
    bound = {"accuracy": float(test.moments.share.mean()), "log_loss": float(test.moments.entropy.mean())}
    return {
        "scenarios": samples.info["scenarios"],
        "samples": samples.info["counts"],
        **{name: forest[name] for name in ("confusion", *REPORTED)},
        "baselines": {"majority": majority, "user_prior": prior},
        "decision_tree": {**single, "text": tree},
        "bound": bound,
        "note": note(len(shares), forest, {"majority class": majority, "user prior": prior}, bound),
    }


def class_shares(samples: Samples) -> Floats:
    """Shares of the scenarios among the training samples, [K]."""
    counts = np.bincount(samples.of("train").target, minlength=len(samples.info["scenarios"]))
    shares: Floats = counts / counts.sum()
    return shares


def note(classes: int, forest: dict[str, Any], baselines: dict[str, dict[str, Any]], bound: dict[str, float]) -> str:
    """What the numbers mean, in words."""
    against = " and ".join(
        f"{base['log_loss'] - forest['log_loss']:+.3f} nats and {forest['accuracy'] - base['accuracy']:+.3f} accuracy "
        f"over the {name}"
        for name, base in baselines.items()
    )
    return (
        "A sample is a user at a moment of engagement; its target is the scenario of one engaged event drawn at "
        f"random among those of the moment in {classes} target scenarios. A moment may hold several scenarios: even "
        f"who saw all of its events could not pass accuracy {bound['accuracy']:.3f} and log loss "
        f"{bound['log_loss']:.3f} (`bound`). Uniform guessing has log loss {np.log(classes):.3f}. On the test "
        f"split the forest gains {against}. Where placements are spread over a shop, as in Complete Journey, neither "
        "hour nor habit says much of where a product stood, and the gain is small; where time or device go with "
        "the scenario it is large."
    )
