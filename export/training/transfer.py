"""What a trained P/M model says on the rows of a split: its transfer weights, P of each target, and R without sources.

Knows the model and streamed rows; what follows from these numbers is in export.evaluation.transfer_evidence.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from export.models.base import RowTensors, at_target, rows_at_target
from export.models.preference_transfer import PreferenceTransfer
from export.rows.reader import RowSource

Floats32 = NDArray[np.float32]

SMALLEST_SUM = 1e-9
"""Weights that sum up to less are all 0: M itself is at least 0.018."""


@dataclass(frozen=True)
class SourceScores:
    """Probabilities of the rows of a split, ordered by row number.

    Args:
        row: [R] row numbers.
        own: [R] P[i] of each row's target scenario i.
        without: [R, J] R / sum M with M[i,j] = 0, the other weights as they are; NaN where no other source is left.
    """

    row: NDArray[np.int64]
    own: Floats32
    without: Floats32


@torch.no_grad()
def transfer_summary(model: PreferenceTransfer, source: RowSource) -> dict[str, Any]:
    """Mean and deviation of M[i,j] over the contexts of a split, one row per target scenario i."""
    count, shape = 0, (len(source.sources),) * 2
    total, squares = np.zeros(shape), np.zeros(shape)
    for batch in source.batches():
        transfer = model.transfer(torch.from_numpy(batch.scenario), torch.from_numpy(batch.language))
        weights = transfer.double().numpy() * batch.weight_of_source
        count, total, squares = count + len(weights), total + weights.sum(0), squares + (weights**2).sum(0)
    mean = total / max(count, 1)
    deviation = np.sqrt(np.maximum(squares / max(count, 1) - mean**2, 0))
    return {"sources": source.sources, "contexts": count, "mean": mean.tolist(), "sd": deviation.tolist()}


@torch.no_grad()
def score_sources(model: PreferenceTransfer, source: RowSource) -> SourceScores:
    """P of each row's target, and the probability without each source."""
    model.eval()
    numbers, own, without = [], [], []
    for batch in source.batches():
        rows = RowTensors.of(batch, torch.device("cpu"))
        preference = model.preference_of_rows(rows).mean(-1).double()
        weights = at_target(model.transfer(rows.scenario, rows.language), rows).double() * rows.weight_of_source
        parts = preference * weights
        left = weights.sum(-1, keepdim=True) - weights
        mixed = (parts.sum(-1, keepdim=True) - parts) / torch.where(left > SMALLEST_SUM, left, torch.nan)
        numbers.append(batch.row)
        own.append(rows_at_target(preference, rows).float().numpy())
        without.append(mixed.float().numpy())
    if not numbers:
        return SourceScores(
            np.empty(0, np.int64), np.empty(0, np.float32), np.empty((0, len(source.sources)), np.float32)
        )
    row = np.concatenate(numbers)
    order = np.argsort(row)
    return SourceScores(row[order], np.concatenate(own)[order], np.concatenate(without)[order])
