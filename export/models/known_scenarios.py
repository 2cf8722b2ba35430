"""Identifies the scenarios of training, for models that have parameters per scenario.

A graph sees no scenario ids, and the order of scenarios changes when one is added; but a scenario's description has
the same text vector in training and serving, so the vector identifies it. Scenarios with equal descriptions count as
one.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from export.models.base import ModelError
from export.rows.reader import RowSource

_SAME = 1e-4
"""Tolerance of equal vectors: they are unit vectors in single precision; different texts differ by far more."""


class KnownScenarios(nn.Module):
    """Membership of scenarios in the target scenarios of training.

    Args:
        tensors: feature names per tensor.
        count: number of target scenarios in training.
    """

    columns: Tensor
    vectors: Tensor

    def __init__(self, tensors: Mapping[str, Sequence[str]], count: int) -> None:
        super().__init__()
        columns = [column for column, name in enumerate(tensors["scenario"]) if name.startswith("text_")]
        if not columns:
            raise ModelError("tensor scenario: no feature text_*, so scenarios cannot be distinguished")
        self.register_buffer("columns", torch.tensor(columns))
        self.register_buffer("vectors", torch.zeros(count, len(columns)))

    def prepare(self, source: RowSource) -> None:
        """Take the text vectors of the target scenarios of training rows."""
        scenario = next(source.batches()).scenario[0]
        targets = np.flatnonzero(source.rows_per_target)
        self.vectors.copy_(torch.from_numpy(scenario[targets])[:, self.columns.cpu()])

    def forward(self, scenario: Tensor) -> Tensor:
        """Share of each known scenario in a scenario [..., S]: [..., H], sums to 1; all 0 for an unknown scenario."""
        texts = torch.index_select(scenario, -1, self.columns)
        same = ((texts.unsqueeze(-2) - self.vectors).abs().amax(-1) < _SAME).float()
        return same / same.sum(-1, keepdim=True).clamp_min(1.0)


def count_targets(source: RowSource) -> int:
    """Number of target scenarios that have training rows."""
    return int((source.rows_per_target > 0).sum())
