"""Base of the kinds that rank by one number: a logistic fit turns it into a probability, the order stays."""

import re
from abc import abstractmethod
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from export.models.base import ModelError, RequestTensors, RowTensors, TorchModel


def longest(names: Sequence[str], prefix: str) -> int:
    """Place of the feature `<prefix><half-life>s` with the longest half-life; ModelError if there is none."""
    found = [(float(match[1]), place) for place, name in enumerate(names) if (match := _half_life(prefix, name))]
    if not found:
        raise ModelError(f"tensor item: no feature {prefix}<half-life>s")
    return max(found)[1]


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
        """What items [N, X] are ranked by, [N]."""

    def _probability(self, item: Tensor) -> Tensor:
        return torch.sigmoid(self.calibration(self.value(item).unsqueeze(-1))).squeeze(-1)

    def request_preference(self, request: RequestTensors) -> Tensor:
        """P [N, J], the same in every scenario."""
        return self._probability(request.item).unsqueeze(1) * torch.ones_like(request.cross[..., 0])

    def training_probability(self, batch: RowTensors) -> Tensor:
        """Probability [R]."""
        return self._probability(batch.item)
