"""The state of a training run after each epoch, on disk, so that an interrupted run goes on where it stood.

Knows torch's files; knows nothing of models.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from services.errors import CrossRecError


class CheckpointMismatch(CrossRecError):
    """A checkpoint is of a run with other choices or other rows."""


@dataclass(frozen=True)
class Epoch:
    """What one pass over the training rows gave."""

    number: int
    train_loss: float
    validation_auc: float


@dataclass
class Progress:
    """Where a run stands: its epochs, and weights and optimiser after the last one and the best one."""

    history: list[Epoch]
    model: dict[str, Any]
    optimiser: dict[str, Any]
    best: dict[str, Any]


def save(path: Path, run: dict[str, Any], progress: Progress) -> None:
    """Write the checkpoint in one step; `run` says what the run is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    staging = path.with_suffix(".part")
    torch.save({"run": run, **vars(progress), "history": [asdict(epoch) for epoch in progress.history]}, staging)
    staging.replace(path)


def load(path: Path, run: dict[str, Any]) -> Progress | None:
    """The checkpoint, None if there is none; CheckpointMismatch naming what differs if it is of another run."""
    if not path.exists():
        return None
    found = torch.load(path, map_location="cpu", weights_only=True)
    theirs = found.pop("run")
    differing = [name for name in sorted({*run, *theirs}) if run.get(name) != theirs.get(name)]
    if differing:
        parts = ", ".join(f"{name} is {theirs.get(name)} there, {run.get(name)} here" for name in differing)
        raise CheckpointMismatch(f"{path} is of another run: {parts}. Train without resuming, or with the same choices")
    history = [Epoch(**epoch) for epoch in found.pop("history")]
    return Progress(history=history, **found)
