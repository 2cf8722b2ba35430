"""Kind `shared_bottom`: a hidden layer shared by all scenarios, and a head per scenario of training.

Caruana, Multitask Learning (1997). A scenario without training rows gets the mean of the heads.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from export.models.config import TrainingConfig
from export.models.kind import Kind
from export.models.known_scenarios import KnownScenarios, count_targets
from export.models.pooled import Pooled
from export.rows.reader import RowSource


class SharedBottom(Pooled):
    """Shared first layer, heads of one hidden layer.

    Args:
        tensors: feature names per tensor.
        hidden: widths of the shared layer and of each head's layer.
        scenarios: number of target scenarios in training.
    """

    def __init__(self, tensors: Mapping[str, Sequence[str]], hidden: Sequence[int], scenarios: int) -> None:
        super().__init__(tensors, hidden)
        shared, own = hidden
        self.known = KnownScenarios(tensors, scenarios)
        self.head = nn.Sequential(nn.ReLU(), nn.Linear(shared, scenarios * own), nn.ReLU())
        self.last = nn.Parameter(nn.init.uniform_(torch.empty(scenarios, own), -(own**-0.5), own**-0.5))
        self.bias = nn.Parameter(torch.zeros(scenarios))

    def prepare(self, source: RowSource) -> None:
        """Means, deviations and the scenarios of training."""
        super().prepare(source)
        self.known.prepare(source)

    def logit(self, first: Tensor, scenario: Tensor) -> Tensor:
        """The logit of the scenario's own head."""
        share = self.known(scenario)
        share = share + (1.0 - share.sum(-1, keepdim=True)) / len(self.bias)
        hidden = self.head(first).unflatten(-1, self.last.shape)
        logit: Tensor = (((hidden * self.last).sum(-1) + self.bias) * share).sum(-1)
        return logit


KIND = Kind(
    name="shared_bottom",
    title="Shared bottom",
    description="one network for all scenarios with an output of its own for each",
    config=TrainingConfig(),
    build=lambda source, config: SharedBottom(source.tensors, config.hidden, count_targets(source)),
)
