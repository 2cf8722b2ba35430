"""Kind `pooled`: one network over the features of the target scenario, for all scenarios.

It is the f of the P/M model alone: P[j,n] is the probability if j were the target, and the transfer weights are the
target posterior, so that the probability is the mean over it. Base of kinds that differ in their head.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from export.models.base import (
    FirstLayer,
    RequestTensors,
    RowTensors,
    TorchModel,
    at_target,
    build_head,
    rows_at_target,
)
from export.models.config import TrainingConfig
from export.models.kind import Kind


class Pooled(TorchModel):
    """A network over the target scenario's features.

    Args:
        tensors: feature names per tensor.
        hidden: widths of its hidden layers; empty: affine.
        dropout: share of hidden values that a training step leaves out.
    """

    def __init__(self, tensors: Mapping[str, Sequence[str]], hidden: Sequence[int], dropout: float = 0.0) -> None:
        super().__init__(tensors)
        self.first, self.head = FirstLayer(self.widths, hidden[0] if hidden else 1), build_head(hidden, dropout)

    def logit(self, first: Tensor, scenario: Tensor) -> Tensor:
        """Logit [...] from the first layer's output [..., h]; scenario [..., S] as given, not standardised."""
        del scenario
        logit: Tensor = self.head(first).squeeze(-1)
        return logit

    def request_preference(self, request: RequestTensors) -> Tensor:
        """P [N, J]."""
        context, items = self.first_layer_parts(self.first, request)
        first = context + items.unsqueeze(1) + self.first.cross(self.scaled("cross", request.cross))
        return torch.sigmoid(self.logit(first, request.scenario))

    def training_probability(self, batch: RowTensors) -> Tensor:
        """Probability [R], from the target scenario's features alone."""
        context, items = self.first_layer_parts(self.first, batch)
        cross = self.first.cross(self.scaled("cross", rows_at_target(batch.cross, batch)))
        first = at_target(context, batch) + items + cross
        return torch.sigmoid(self.logit(first, at_target(batch.scenario, batch)))


KIND = Kind(
    name="pooled",
    title="Pooled network",
    description="one network over all scenarios, the same features, no transfer weights",
    config=TrainingConfig(),
    build=lambda source, config: Pooled(source.tensors, config.hidden, config.dropout),
)
