"""Sample requests that lie beside a model: tensors, and what the model said of them where it was exported.

A server scores them before a version serves: another runtime, provider or file would show. Knows the file's format.
"""

import io
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from services.features.encode import Tensors
from services.registry.model import Model, Scores
from services.registry.reader import ModelMismatch

SAMPLES = "samples.npz"
TOLERANCE = 1e-3
"""Largest difference from an expected value, absolute, or relative to it where it is above 1. Between processors
rounding differs by about 1e-6; what a graphics card multiplies in TensorFloat-32 by a few 1e-4."""


@dataclass(frozen=True)
class Sample:
    """One request and its answer.

    Args:
        tensors: of the request.
        target: [J] the posterior over target scenarios.
        expected: what the exported graph computes.
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
    """Samples of a file's content; ModelMismatch if it holds none."""
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
        raise ModelMismatch(f"{SAMPLES} holds no sample requests: {error}") from error


def largest_difference(model: Model, sample: Sample) -> tuple[str, float]:
    """The output of a sample that is furthest from what is expected, and how far, as TOLERANCE counts."""
    found, worst = model.score(sample.tensors, sample.target), ("score", 0.0)
    for field in fields(Scores):
        actual, expected = getattr(found, field.name), getattr(sample.expected, field.name)
        if actual.shape != expected.shape:
            return field.name, float("inf")
        apart = np.abs(actual - expected) / np.maximum(1.0, np.abs(expected))
        far = float(np.where(np.isnan(apart), np.inf, apart).max(initial=0.0))
        worst = max(worst, (field.name, far), key=lambda pair: pair[1])
    return worst


def check_samples(model: Model, samples: Sequence[Sample]) -> float:
    """The largest difference over all samples; ModelMismatch if it is above TOLERANCE."""
    found = [(number, *largest_difference(model, sample)) for number, sample in enumerate(samples)]
    number, output, worst = max(found, key=lambda line: line[2], default=(0, "", 0.0))
    if worst > TOLERANCE:
        raise ModelMismatch(
            f"its {output} of sample request {number} differs by {worst:.2g} from what was exported, "
            f"allowed: {TOLERANCE:g}"
        )
    return worst
