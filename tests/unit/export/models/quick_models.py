"""One quickly trained model of each kind, and made-up requests of any size."""

from pathlib import Path

import numpy as np

from export.models.base import Model
from export.models.kinds import KINDS, config_of
from export.training.train import fit
from services.features.encode import leading_shapes
from tests.unit.export.rows.synthetic_rows import WIDTHS

QUICK = {"epochs": 1, "hidden": (8, 4), "hidden_g": (4,), "batch_rows": 60, "trees": 10, "leaves": 4, "threads": 1}
SHALLOW = {"logistic", "affine", "popularity", "past_count"}
"""Kinds without hidden layers."""


def train_all(directory: Path) -> dict[str, Model]:
    """One model of each kind, fitted to the rows of a directory."""
    plain = {name: value for name, value in QUICK.items() if not name.startswith("hidden")}
    return {kind: fit(directory, kind, config_of(kind, plain if kind in SHALLOW else QUICK))[0] for kind in KINDS}


def request(items: int, sources: int) -> dict[str, np.ndarray]:
    """The inputs of a request, normally distributed, with a spread posterior."""
    random = np.random.default_rng(items)
    shapes = leading_shapes(items, sources)
    made = {name: random.normal(size=(*shape, WIDTHS[name])).astype(np.float32) for name, shape in shapes.items()}
    posterior = random.random((1, sources)).astype(np.float32)
    return {**made, "target": posterior / posterior.sum()}
