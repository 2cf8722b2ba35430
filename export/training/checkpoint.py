"""Checkpoints: the state of a training run after each epoch, on disk, from which an interrupted run resumes.

Knows torch's files; knows nothing of models.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from export.models.config import Epoch
from services.errors import CrossRecError


class CheckpointMismatch(CrossRecError):
    """A checkpoint belongs to a run with other choices or other rows."""


@dataclass
class TrainingProgress:
    """The state of a run: its epochs, model weights and optimiser after the last one, weights after the best one."""

    history: list[Epoch]
    model: dict[str, Any]
    optimiser: dict[str, Any]
    best: dict[str, Any]


def save_checkpoint(path: Path, run: dict[str, Any], progress: TrainingProgress) -> None:
    """Write a checkpoint atomically; `run` identifies the run."""
    path.parent.mkdir(parents=True, exist_ok=True)
    staging = path.with_suffix(".part")
    torch.save({"run": run, **vars(progress), "history": [asdict(epoch) for epoch in progress.history]}, staging)
    staging.replace(path)


def load_checkpoint(path: Path, run: dict[str, Any]) -> TrainingProgress | None:
    """The checkpoint, None if there is none; CheckpointMismatch names what differs if it is of another run."""
    if not path.exists():
        return None
    held = torch.load(path, map_location="cpu", weights_only=True)
    theirs = held.pop("run")
    differing = [name for name in sorted({*run, *theirs}) if run.get(name) != theirs.get(name)]
    if differing:
        parts = ", ".join(f"{name} is {theirs.get(name)} there, {run.get(name)} here" for name in differing)
        raise CheckpointMismatch(f"{path} is of another run: {parts}. Train without --resume, or with the same choices")
    history = [Epoch(**epoch) for epoch in held.pop("history")]
    return TrainingProgress(history=history, **held)
