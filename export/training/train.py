"""The training loop: gradient descent on a model's loss, seeded, resumable; the best epoch is kept.

Knows torch, streamed rows and what a kind of model is; knows no single kind, nor registries or ONNX.
"""

import copy
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from export.evaluation.metrics import auc, cross_entropy
from export.models.base import Model, ModelError, RowTensors, TorchModel
from export.models.config import Epoch, TrainingConfig, best_epoch
from export.models.kinds import load_kind
from export.rows.reader import RowBatch, RowSource, TrainingRowsError
from export.rows.selection import Selection
from export.training.checkpoint import TrainingProgress, load_checkpoint, save_checkpoint
from export.training.process_group import ProcessGroup, SingleProcess
from export.training.progress import epoch_progress

LogLine = Callable[[str], None]


@dataclass(frozen=True)
class ScoredRows:
    """Rows of a split with their probabilities, ordered by row number: row, label and probability [R]."""

    row: NDArray[np.int64]
    label: NDArray[np.int64]
    probability: NDArray[np.float64]


def fit(
    directory: Path,
    kind: str,
    config: TrainingConfig,
    selection: Selection | None = None,
    *,
    log: LogLine = lambda _: None,
    checkpoint: Path | None = None,
    resume: bool = False,
    group: ProcessGroup | None = None,
) -> tuple[Model, list[Epoch]]:
    """Train on split `train`; keep the epoch with the best AUC on `validation` (or the last, without validation rows).

    Args:
        directory: training rows of a replay.
        kind: one of export.models.kinds.KINDS.
        config: how to train.
        selection: which rows, features and sources to use; default: all.
        log: called with a line per epoch.
        checkpoint: file for the state after each epoch.
        resume: continue from the checkpoint, if there is one; ends with the same weights as an uninterrupted run.
        group: the processes that train together; default: this one alone.
    """
    group, selection, chosen = group or SingleProcess(), selection or Selection(), load_kind(kind)
    stream_rows = partial(
        RowSource, directory, "train", selection, batch_rows=config.batch_rows, buffer_rows=config.buffer_rows
    )
    source = stream_rows()
    validation = RowSource(directory, "validation", selection)
    if not len(source):
        raise TrainingRowsError(f"{directory}: no rows of split train are left to train on")
    if selection.dropped_sources and not chosen.has_transfer:
        raise ModelError(f"dropped_sources: a {kind} model has no source scenarios to drop")
    if chosen.fit:
        return chosen.fit(source, validation, config, log)
    if not chosen.build:
        raise ModelError(f"kind {kind} has neither build nor fit")
    with _threads(config.threads):
        torch.manual_seed(config.seed)
        model = chosen.build(source, config)
        model.prepare(source)
        part = source if group.count == 1 else stream_rows(part=(group.rank, group.count))
        run = {"kind": kind, "training": str(asdict(config)), "selection": str(selection), "rows": len(source)}
        loop = _TrainingLoop(model.to(config.device), part, validation, config, group, len(source), kind)
        if resume and checkpoint and (progress := load_checkpoint(checkpoint, run)):
            loop.restore(progress)
            log(f"{kind}: resuming after epoch {len(progress.history)}")
        while not loop.finished:
            epoch = loop.run_epoch()
            log(f"{kind} epoch {epoch.number}: loss {epoch.train_loss:.4f}, validation AUC {epoch.validation_auc:.4f}")
            if checkpoint and not group.rank:
                save_checkpoint(checkpoint, run, loop.progress())
        model.load_state_dict(loop.best)
        return model.eval(), loop.history


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """Torch computes with so many threads; 0: as many as it would."""
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class _TrainingLoop:
    """Epochs of gradient descent."""

    def __init__(
        self,
        model: TorchModel,
        source: RowSource,
        validation: RowSource,
        config: TrainingConfig,
        group: ProcessGroup,
        rows: int,
        title: str,
    ) -> None:
        self._model, self._source, self._validation, self._config = model, source, validation, config
        self._group, self._rows, self._title = group, rows, title
        self._optimiser = torch.optim.AdamW(
            model.parameters(), config.learning_rate, weight_decay=config.weight_decay, fused=True
        )
        self._steps = 0
        self.history: list[Epoch] = []
        self.best: dict[str, Any] = {}

    @property
    def finished(self) -> bool:
        """Whether all epochs are done, or `patience` epochs brought no better validation AUC."""
        done = len(self.history)
        waited = done - best_epoch(self.history).number if done else 0
        return done >= self._config.epochs or waited >= self._config.patience

    def restore(self, progress: TrainingProgress) -> None:
        """Take the state of a checkpoint."""
        self.history, self.best = list(progress.history), progress.best
        self._steps = self.history[-1].steps
        self._model.load_state_dict(progress.model)
        self._optimiser.load_state_dict(progress.optimiser)

    def progress(self) -> TrainingProgress:
        """The state for a checkpoint."""
        return TrainingProgress(self.history, self._model.state_dict(), self._optimiser.state_dict(), self.best)

    def run_epoch(self) -> Epoch:
        """One pass over the training rows, then the AUC on the validation rows."""
        number = len(self.history) + 1
        # Seeded by epoch: a resumed run draws the same numbers as an uninterrupted one.
        torch.manual_seed(1_000_003 * (self._config.seed + 1) + 1009 * number + self._group.rank)
        generator = np.random.default_rng([self._config.seed, number, self._group.rank])
        loss = self._descend(generator, number)
        measured = [float("nan")] * 2
        if not self._group.rank and len(self._validation):
            scored = score_rows(self._model, self._validation)
            measured = [metric(scored.label, scored.probability) for metric in (auc, cross_entropy)]
        validation_auc, validation_loss = map(self._group.broadcast, measured)
        self.history.append(Epoch(number, loss, validation_auc, self._steps, validation_loss))
        if best_epoch(self.history) is self.history[-1]:
            self.best = copy.deepcopy(self._model.state_dict())
        return self.history[-1]

    def _descend(self, generator: np.random.Generator, number: int) -> float:
        """Steps until no process has rows left; returns the mean loss per row."""
        self._model.train()
        total, seen, batches = 0.0, 0, self._source.batches(generator)
        with epoch_progress(f"{self._title} epoch {number}", self._rows, visible=not self._group.rank) as advance:
            while True:
                batch = next(batches, None)
                self._optimiser.zero_grad()
                loss = 0.0 if batch is None else self._backward(batch)
                total += loss * len(batch or ())
                rows = self._group.average_gradients(self._model, len(batch or ()))
                if not rows:
                    break
                self._step((number - 1 + seen / self._rows) / self._config.epochs)
                seen += rows
                advance(rows, loss)
        return self._group.sum(total) / seen

    def _backward(self, batch: RowBatch) -> float:
        """Gradients of the mean loss of a batch; returns the log loss of its probabilities."""
        loss = self._model.training_loss(RowTensors.of(batch, torch.device(self._config.device)))
        loss.total.backward()  # type: ignore[no-untyped-call]
        return float(loss.log_loss.detach())

    def _step(self, done: float) -> None:
        """A step of AdamW; `done` is the finished share of the whole run, 0 to 1."""
        for group in self._optimiser.param_groups:
            group["lr"] = self._config.learning_rate * (1 + math.cos(math.pi * done)) / 2
        torch.nn.utils.clip_grad_norm_(self._model.parameters(), self._config.gradient_norm)
        self._optimiser.step()
        self._steps += 1


def score_rows(model: Model, source: RowSource) -> ScoredRows:
    """Probability of every row of a source."""
    if isinstance(model, TorchModel):
        model.eval()
    parts = [(batch.row, batch.label, model.probability(batch)) for batch in source.batches()]
    if not parts:
        return ScoredRows(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))
    row, label, probability = (np.concatenate(values) for values in zip(*parts, strict=True))
    order = np.argsort(row)
    return ScoredRows(row[order], label[order], probability[order])
