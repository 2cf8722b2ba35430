"""What training may add to rows where a scenario has few: masked history, rows weighed across scenarios, soft labels.

Knows batches of rows, and of models only that the P/M kinds have transfer weights. All is off by default.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from export.models.base import RowTensors, TorchModel, at_target
from export.models.preference_transfer import PreferenceTransfer
from export.rows.reader import RowBatch, RowSource
from export.training.config import TrainingConfig
from services.errors import ConfigurationError

NEIGHBOURS = 20
"""How many nearest texts of a positive count as near."""

CHUNK = 1024
"""Texts compared with all others at once."""


class Additions:
    """What a training run adds to its batches.

    Args:
        config: says which additions are on. Raises ConfigurationError naming a choice that is out of range.
        source: the training rows.
        model: the model that is trained; its current transfer weights are what `weigh_by_transfer` goes by.
    """

    def __init__(self, config: TrainingConfig, source: RowSource, model: TorchModel) -> None:
        _check(config, source, model)
        self._config, self._model, self._columns = config, model, history_columns(source.tensors)
        texts = source.texts if config.neighbour_label else None
        self._nearest = None if texts is None else nearest_texts(texts, NEIGHBOURS)
        scarce = config.weigh_by_transfer
        self._scarce = source.sources.index(scarce) if scarce else None

    def rows(self, batch: RowBatch, generator: np.random.Generator) -> RowBatch:
        """The batch to train on."""
        share = self._config.mask_history
        return masked(batch, share, self._columns, generator) if share else batch

    def labels(self, batch: RowBatch) -> NDArray[np.float32]:
        """What to train towards, [R]."""
        if self._nearest is None:
            return batch.label.astype(np.float32)
        return softened(batch, self._nearest, self._config.neighbour_label)

    @torch.no_grad()
    def weights(self, rows: RowTensors) -> torch.Tensor | None:
        """How much each row's loss counts, [R]; None: all the same."""
        if self._scarce is None or not isinstance(self._model, PreferenceTransfer):
            return None
        transfer = self._model.transfer(rows.scenario, rows.language)[:, self._scarce]
        return torch.where(rows.target == self._scarce, 1.0, at_target(transfer, rows))


def _check(config: TrainingConfig, source: RowSource, model: TorchModel) -> None:
    for name in ("mask_history", "neighbour_label"):
        if not 0 <= getattr(config, name) < 1:
            raise ConfigurationError(f"training.{name}: {getattr(config, name)} is not in [0, 1)")
    scarce = config.weigh_by_transfer
    if scarce and scarce not in source.sources:
        raise ConfigurationError(f"training.weigh_by_transfer: no scenario {scarce} among {', '.join(source.sources)}")
    if scarce and not isinstance(model, PreferenceTransfer):
        raise ConfigurationError("training.weigh_by_transfer: only affine and neural models have transfer weights")


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
