"""Fits a model of any kind: binary cross-entropy of the probability, seeded, best epoch kept, resumable.

Knows torch, streamed rows and the kinds; knows nothing of registries or ONNX.
"""

import copy
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from export.evaluation.metrics import auc
from export.models.base import Model, ModelError, RowTensors, TorchModel
from export.models.build import TORCH_KINDS
from export.rows.reader import RowBatch, RowSource, TrainingRowsError
from export.rows.selection import Selection
from export.training import checkpoint as checkpoints
from export.training.augmentation import Additions
from export.training.bars import epoch_bar
from export.training.checkpoint import Epoch, Progress
from export.training.config import TrainingConfig
from export.training.peers import Alone, Peers
from export.training.trees import fit_trees

Log = Callable[[str], None]


@dataclass(frozen=True)
class Scored:
    """Rows of a split with their scores, in order of row number: row, label and probability [R]."""

    row: NDArray[np.int64]
    label: NDArray[np.int64]
    probability: NDArray[np.float64]


def fit(
    directory: Path,
    kind: str,
    config: TrainingConfig,
    selection: Selection | None = None,
    *,
    log: Log = lambda _: None,
    checkpoint: Path | None = None,
    resume: bool = False,
    peers: Peers | None = None,
) -> tuple[Model, list[Epoch]]:
    """Train on split `train`, keep the epoch with the best AUC on `validation` (or the last, without one).

    Args:
        directory: training rows of a replay.
        kind: one of export.training.config.KINDS.
        config: how to train.
        selection: which rows, features and sources to use; default: all.
        log: called with a line per epoch.
        checkpoint: file to keep the state in after each epoch.
        resume: go on from the checkpoint, if there is one. Ends with the same weights as one uninterrupted run.
        peers: the processes that train together; default: this one alone.
    """
    peers, selection = peers or Alone(), selection or Selection()
    streamed = partial(
        RowSource, directory, "train", selection, batch_rows=config.batch_rows, buffer_rows=config.buffer_rows
    )
    everything = streamed()
    validation = RowSource(directory, "validation", selection)
    if not len(everything):
        raise TrainingRowsError(f"{directory}: no rows of split train are left to train on")
    if kind not in TORCH_KINDS:
        _refuse_dropped_sources(kind, selection)
        return fit_trees(everything, validation, config, log), []
    torch.manual_seed(config.seed)
    model = TORCH_KINDS[kind](everything, config)
    if not model.uses_sources:
        _refuse_dropped_sources(kind, selection)
    model.prepare(everything)
    part = streamed(part=(peers.rank, peers.count))
    run = {"kind": kind, "training": str(asdict(config)), "selection": str(selection), "rows": len(everything)}
    loop = _Loop(model.to(config.device), part, validation, config, peers, len(everything), kind)
    if resume and checkpoint and (found := checkpoints.load(checkpoint, run)):
        loop.restore(found)
        log(f"{kind}: going on after epoch {len(found.history)}")
    while not loop.finished:
        epoch = loop.epoch()
        log(f"{kind} epoch {epoch.number}: loss {epoch.train_loss:.4f}, validation AUC {epoch.validation_auc:.4f}")
        if checkpoint and not peers.rank:
            checkpoints.save(checkpoint, run, loop.progress())
    model.load_state_dict(loop.best)
    return model.eval(), loop.history


def _refuse_dropped_sources(kind: str, selection: Selection) -> None:
    if selection.dropped_sources:
        raise ModelError(f"dropped_sources: a {kind} model has no source scenarios to drop")


class _Loop:
    """Epochs of gradient descent."""

    def __init__(
        self,
        model: TorchModel,
        source: RowSource,
        validation: RowSource,
        config: TrainingConfig,
        peers: Peers,
        rows: int,
        title: str,
    ) -> None:
        self._model, self._source, self._validation, self._config = model, source, validation, config
        self._peers, self._rows, self._title = peers, rows, title
        self._additions = Additions(config, source, model)
        self._optimiser = torch.optim.AdamW(model.parameters(), config.learning_rate, weight_decay=config.weight_decay)
        self.history: list[Epoch] = []
        self.best: dict[str, Any] = {}

    @property
    def finished(self) -> bool:
        """Whether all epochs are done, or the best one is long ago."""
        done = len(self.history)
        waited = done - _best(self.history).number if done else 0
        return done >= self._config.epochs or waited >= self._config.patience

    def restore(self, progress: Progress) -> None:
        """Stand where a checkpoint stood."""
        self.history, self.best = list(progress.history), progress.best
        self._model.load_state_dict(progress.model)
        self._optimiser.load_state_dict(progress.optimiser)

    def progress(self) -> Progress:
        """What a checkpoint holds."""
        return Progress(self.history, self._model.state_dict(), self._optimiser.state_dict(), self.best)

    def epoch(self) -> Epoch:
        """One pass over the training rows, then the AUC on the validation rows."""
        number = len(self.history) + 1
        # Seeded by epoch, so that a resumed run draws what an uninterrupted one draws.
        torch.manual_seed(1_000_003 * (self._config.seed + 1) + 1009 * number + self._peers.rank)
        generator = np.random.default_rng([self._config.seed, number, self._peers.rank])
        loss = self._descend(generator, number)
        scored = float("nan")
        if not self._peers.rank and len(self._validation):
            found = score(self._model, self._validation)
            scored = auc(found.label, found.probability)
        self.history.append(Epoch(number, loss, self._peers.agree(scored)))
        if _best(self.history) is self.history[-1]:
            self.best = copy.deepcopy(self._model.state_dict())
        return self.history[-1]

    def _descend(self, generator: np.random.Generator, number: int) -> float:
        """Steps until no process has rows left; returns the mean loss per row."""
        self._model.train()
        total, seen, batches = 0.0, 0, self._source.batches(generator)
        with epoch_bar(f"{self._title} epoch {number}", self._rows, shown=not self._peers.rank) as advance:
            while True:
                batch = next(batches, None)
                self._optimiser.zero_grad()
                loss = 0.0 if batch is None else self._backward(self._additions.rows(batch, generator))
                total += loss * len(batch or ())
                rows = self._peers.average(self._model, len(batch or ()))
                if not rows:
                    break
                self._step((number - 1 + seen / self._rows) / self._config.epochs)
                seen += rows
                advance(rows, loss)
        return self._peers.sum(total) / seen

    def _backward(self, batch: RowBatch) -> float:
        device = torch.device(self._config.device)
        rows, label = RowTensors.of(batch, device), torch.from_numpy(self._additions.labels(batch)).to(device)
        probability, weight = self._model.training_probability(rows), self._additions.weights(rows)
        if probability.dim() == 2:  # every member learns from every row
            label, weight = label.unsqueeze(1).expand_as(probability), None if weight is None else weight.unsqueeze(1)
        loss = torch.nn.functional.binary_cross_entropy(probability.clamp(1e-6, 1 - 1e-6), label, weight)
        loss.backward()  # type: ignore[no-untyped-call]
        return float(loss.detach())

    def _step(self, done: float) -> None:
        """A step of Adam; `done` is the share of the whole run, 0 to 1."""
        for group in self._optimiser.param_groups:
            group["lr"] = self._config.learning_rate * (1 + math.cos(math.pi * done)) / 2
        torch.nn.utils.clip_grad_norm_(self._model.parameters(), self._config.gradient_norm)
        self._optimiser.step()


def _best(history: list[Epoch]) -> Epoch:
    """The first epoch with the highest validation AUC; the last one where none could be measured."""
    measured = [epoch for epoch in history if not math.isnan(epoch.validation_auc)]
    return max(measured, key=lambda epoch: epoch.validation_auc) if measured else history[-1]


def score(model: Model, source: RowSource) -> Scored:
    """Probability of every row of a source."""
    if isinstance(model, TorchModel):
        model.eval()
    parts = [(batch.row, batch.label, model.probability(batch)) for batch in source.batches()]
    if not parts:
        return Scored(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))
    row, label, probability = (np.concatenate(values) for values in zip(*parts, strict=True))
    order = np.argsort(row)
    return Scored(row[order], label[order], probability[order])
