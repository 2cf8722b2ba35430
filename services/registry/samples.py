"""Sample requests beside a model: tensors, and the scores of the model where it was exported.

A server scores them before a version serves, to detect a different runtime, provider or file. Knows the file's format.
"""

import io
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from services.features.encode import Tensors
from services.registry.model import Scores, ScoringModel
from services.registry.reader import ModelMismatch

SAMPLES = "samples.npz"
TOLERANCE = 1e-3
"""Largest difference from an expected value, absolute, or relative to it where it is above 1. Rounding differs between
CPUs by about 1e-6; products in TensorFloat-32 on a GPU differ by a few 1e-4."""


@dataclass(frozen=True)
class Sample:
    """One request and its scores.

    Args:
        tensors: of the request.
        target: [J] the posterior over target scenarios.
        expected: the outputs of the exported graph.
    """

    tensors: Tensors
    target: np.ndarray
    expected: Scores


def write_samples(path: Path, samples: Sequence[Sample]) -> None:
    """Write samples to a file."""
    arrays: dict[str, np.ndarray] = {}
    for number, sample in enumerate(samples):
        arrays |= {f"{number}.tensors.{f.name}": getattr(sample.tensors, f.name) for f in fields(Tensors)}
        arrays |= {f"{number}.expected.{f.name}": getattr(sample.expected, f.name) for f in fields(Scores)}
        arrays[f"{number}.target"] = sample.target
    with path.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)


def read_samples(content: bytes) -> list[Sample]:
    """Parse the content of a samples file; raises ModelMismatch if it is invalid."""
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            count = len({name.partition(".")[0] for name in arrays.files})
            return [
                Sample(
                    Tensors(**{f.name: arrays[f"{number}.tensors.{f.name}"] for f in fields(Tensors)}),
                    arrays[f"{number}.target"],
                    Scores(**{f.name: arrays[f"{number}.expected.{f.name}"] for f in fields(Scores)}),
                )
                for number in range(count)
            ]
    except (ValueError, KeyError, OSError, zipfile.BadZipFile) as error:
        raise ModelMismatch(f"{SAMPLES} cannot be read as sample requests: {error}") from error


def largest_difference(model: ScoringModel, sample: Sample) -> tuple[str, float]:
    """The output of a sample with the largest difference from its expected value, and that difference."""
    found, worst = model.score(sample.tensors, sample.target), ("score", 0.0)
    for field in fields(Scores):
        actual, expected = getattr(found, field.name), getattr(sample.expected, field.name)
        if actual.shape != expected.shape:
            return field.name, float("inf")
        apart = np.abs(actual - expected) / np.maximum(1.0, np.abs(expected))
        far = float(np.where(np.isnan(apart), np.inf, apart).max(initial=0.0))
        worst = max(worst, (field.name, far), key=lambda pair: pair[1])
    return worst


def check_samples(model: ScoringModel, samples: Sequence[Sample]) -> float:
    """The largest difference over all samples; raises ModelMismatch if it is above TOLERANCE."""
    found = [(number, *largest_difference(model, sample)) for number, sample in enumerate(samples)]
    number, output, worst = max(found, key=lambda line: line[2], default=(0, "", 0.0))
    if worst > TOLERANCE:
        raise ModelMismatch(
            f"its {output} of sample request {number} differs by {worst:.2g} from the exported value, "
            f"allowed: {TOLERANCE:g}"
        )
    return worst
