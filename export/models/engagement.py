"""Base of the kinds that rank by one value of the item; a logistic fit turns it into a probability."""

import re
from abc import abstractmethod
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from export.models.base import ModelError, RequestTensors, RowTensors, TorchModel


def longest_half_life(names: Sequence[str], prefix: str) -> int:
    """Column of the feature `<prefix><half-life>s` with the longest half-life; ModelError if there is none."""
    columns = [(float(match[1]), column) for column, name in enumerate(names) if (match := _half_life(prefix, name))]
    if not columns:
        raise ModelError(f"tensor item: no feature {prefix}<half-life>s")
    return max(columns)[1]


def _half_life(prefix: str, name: str) -> re.Match[str] | None:
    return re.fullmatch(rf"{prefix}([\d.e+]+)s", name)


class Engagement(TorchModel):
    """A probability that rises with one value of each item.

    Args:
        tensors: feature names per tensor.
    """

    def __init__(self, tensors: Mapping[str, Sequence[str]]) -> None:
        super().__init__(tensors)
        self.calibration = nn.Linear(1, 1)
        nn.init.ones_(self.calibration.weight)
        nn.init.zeros_(self.calibration.bias)

    @abstractmethod
    def value(self, item: Tensor) -> Tensor:
        """The value by which items [N, X] are ranked, [N]."""

    def _probability(self, item: Tensor) -> Tensor:
        return torch.sigmoid(self.calibration(self.value(item).unsqueeze(-1))).squeeze(-1)

    def request_preference(self, request: RequestTensors) -> Tensor:
        """P [N, J], the same in every scenario."""
        return self._probability(request.item).unsqueeze(1) * torch.ones_like(request.cross[..., 0])

    def training_probability(self, batch: RowTensors) -> Tensor:
        """Probability [R]."""
        return self._probability(batch.item)
