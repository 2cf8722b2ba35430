"""The processes that train one model together: each takes a share of the rows, gradients are averaged.

Knows torch.distributed; knows nothing of models' kinds or of files.
"""

from typing import Protocol

import torch
import torch.distributed as dist
from torch import nn


class Peers(Protocol):
    """This process and the others."""

    rank: int
    count: int

    def average(self, model: nn.Module, rows: int) -> int:
        """Replace gradients by their mean over the rows of all processes; returns how many rows those are."""
        ...

    def sum(self, value: float) -> float:
        """The sum of a value over all processes."""
        ...

    def agree(self, value: float) -> float:
        """The value that the first process has, everywhere."""
        ...


class Alone:
    """One process."""

    rank, count = 0, 1

    def average(self, model: nn.Module, rows: int) -> int:
        """Nothing to average."""
        del model
        return rows

    def sum(self, value: float) -> float:
        """The value."""
        return value

    def agree(self, value: float) -> float:
        """The value."""
        return value


class Together:
    """The processes of an initialised torch.distributed group; gradients are averaged in one message."""

    def __init__(self) -> None:
        self.rank, self.count = dist.get_rank(), dist.get_world_size()

    def average(self, model: nn.Module, rows: int) -> int:
        """Weighs each process by its rows; one that has none left adds nothing."""
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
        return self._reduced(value, everyone=True)

    def agree(self, value: float) -> float:
        """The first process's value."""
        return self._reduced(value, everyone=False)

    def _reduced(self, value: float, *, everyone: bool) -> float:
        device = "cuda" if dist.get_backend() == "nccl" else "cpu"
        tensor = torch.tensor([value], dtype=torch.float64, device=device)
        if everyone:
            dist.all_reduce(tensor)
        else:
            dist.broadcast(tensor, 0)
        return float(tensor)
