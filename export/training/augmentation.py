"""What training may add to rows where a scenario has few: masked history, rows weighed across scenarios, soft labels.

Pure functions of a batch; knows nothing of models beyond the transfer weights that it is given.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from export.training.source import RowBatch
from services.runtime.errors import CrossRecError


class AugmentationError(CrossRecError):
    """An augmentation's number is out of its range."""


@dataclass(frozen=True)
class Augmentation:
    """Which additions are on; none by default.

    Args:
        mask_history: probability that a user's history in a source scenario is hidden from a training row.
        weigh_by_transfer: scarce target scenario for which rows of target j count M[target, j]; empty: all count 1.
        neighbour_label: label of a negative whose text is among the nearest to a positive of the same request; 0: off.
        neighbours: how many nearest texts of a positive count as near.
    """

    mask_history: float = 0.0
    weigh_by_transfer: str = ""
    neighbour_label: float = 0.0
    neighbours: int = 20

    def __post_init__(self) -> None:
        """Raise AugmentationError naming the field at fault."""
        for name in ("mask_history", "neighbour_label"):
            if not 0 <= getattr(self, name) < 1:
                raise AugmentationError(f"augmentation.{name}: {getattr(self, name)} is not in [0, 1)")
        if self.neighbours < 1:
            raise AugmentationError(f"augmentation.neighbours: {self.neighbours} is not at least 1")


NONE = Augmentation()

CHUNK = 1024
"""Texts compared with all others at once."""


@dataclass(frozen=True)
class HistoryColumns:
    """Which columns are a user's history in a source scenario: behavior [B] and cross [C], true or false."""

    behavior: NDArray[np.bool_]
    cross: NDArray[np.bool_]


def history_columns(tensors: Mapping[str, Sequence[str]]) -> HistoryColumns:
    """By the names of the features: the user's totals in the scenario, and their engagement with item and kind."""
    starts = {"behavior": "scenario_", "cross": "user_scenario_"}
    return HistoryColumns(**{t: np.array([n.startswith(s) for n in tensors[t]], bool) for t, s in starts.items()})


def masked(batch: RowBatch, share: float, columns: HistoryColumns, generator: np.random.Generator) -> RowBatch:
    """The batch with each context's history in each source hidden with probability `share`: as if it were not.

    Totals over scenarios, and what the population did, stay.
    """
    hidden = generator.random(batch.behavior.shape[:2]) < share
    return replace(
        batch,
        behavior=np.where(hidden[..., None] & columns.behavior, np.float32(0), batch.behavior),
        language=np.where(hidden[..., None], np.float32(0), batch.language),
        cross=np.where(hidden[batch.row_context][..., None] & columns.cross, np.float32(0), batch.cross),
    )


def nearest_texts(texts: NDArray[np.float32], count: int) -> NDArray[np.int64]:
    """The `count` nearest other texts of each by cosine, [V, count]; fewer if there are not so many texts."""
    unit = texts / np.maximum(np.linalg.norm(texts, axis=1, keepdims=True), 1e-9)
    count = min(count, len(texts) - 1)
    found = []
    for begin in range(0, len(unit), CHUNK):
        likeness = unit[begin : begin + CHUNK] @ unit.T
        likeness[np.arange(len(likeness)), begin + np.arange(len(likeness))] = -np.inf
        found.append(np.argpartition(-likeness, max(count - 1, 0), axis=1)[:, :count])
    return np.concatenate(found).astype(np.int64)


def softened(batch: RowBatch, nearest: NDArray[np.int64], label: float) -> NDArray[np.float32]:
    """Labels [R] of the batch; a negative whose text is near a positive of its request gets `label`."""
    request = batch.row_context * batch.behavior.shape[1] + batch.target
    positive = batch.label == 1
    near = request[positive, None] * len(nearest) + nearest[batch.text[positive]]
    soft = ~positive & np.isin(request * len(nearest) + batch.text, near)
    return np.where(soft, np.float32(label), batch.label.astype(np.float32))
