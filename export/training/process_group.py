"""The processes that train one model together: each takes a share of the rows, and gradients are averaged.

Knows torch.distributed; knows nothing of kinds of models or of files.
"""

from typing import Protocol

import torch
import torch.distributed as dist
from torch import nn


class ProcessGroup(Protocol):
    """The processes of a training run, seen from one of them; `rank` 0 validates and writes files."""

    rank: int
    count: int

    def average_gradients(self, model: nn.Module, rows: int) -> int:
        """Replace gradients by their mean over the rows of all processes; returns the number of those rows."""
        ...

    def sum(self, value: float) -> float:
        """The sum of a value over all processes."""
        ...

    def broadcast(self, value: float) -> float:
        """The value of rank 0, in every process."""
        ...


class SingleProcess:
    """A group of one process."""

    rank, count = 0, 1

    def average_gradients(self, model: nn.Module, rows: int) -> int:
        """Gradients stay as they are."""
        del model
        return rows

    def sum(self, value: float) -> float:
        """The value."""
        return value

    def broadcast(self, value: float) -> float:
        """The value."""
        return value


class DistributedGroup:
    """The processes of an initialised torch.distributed group; gradients are averaged in one message."""

    def __init__(self) -> None:
        self.rank, self.count = dist.get_rank(), dist.get_world_size()

    def average_gradients(self, model: nn.Module, rows: int) -> int:
        """The mean weighted by each process's rows; a process without rows left adds 0."""
        parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        parts = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
        flat = torch.cat([rows * part.flatten() for part in parts] + [parts[0].new_tensor([float(rows)])])
        dist.all_reduce(flat)
        total = int(flat[-1])
        if total:
            for parameter, mean in zip(
                parameters, torch.split(flat[:-1], [p.numel() for p in parameters]), strict=True
            ):
                parameter.grad = (mean / total).view_as(parameter)
        return total

    def sum(self, value: float) -> float:
        """The sum over all processes."""
        tensor = _as_tensor(value)
        dist.all_reduce(tensor)
        return float(tensor)

    def broadcast(self, value: float) -> float:
        """The value of rank 0."""
        tensor = _as_tensor(value)
        dist.broadcast(tensor, 0)
        return float(tensor)


def _as_tensor(value: float) -> torch.Tensor:
    """A value where the group's backend communicates."""
    device = "cuda" if dist.get_backend() == "nccl" else "cpu"
    return torch.tensor([value], dtype=torch.float64, device=device)
