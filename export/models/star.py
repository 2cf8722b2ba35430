"""Kind `star`: STAR, Sheng et al., One Model to Serve All (CIKM 2021), without its partitioned normalisation.

Every layer's weights in scenario s are W * W_s and its bias b + b_s: shared, times or plus the scenario's own. An
auxiliary layer over the scenario's features adds to the logit. A scenario without training rows has only the
shared part. Features are standardised over all scenarios alike.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from export.models.base import TENSORS, RequestTensors, RowTensors, TorchModel, at_target, gather_rows, rows_at_target
from export.models.config import TrainingConfig
from export.models.kind import Kind
from export.models.known_scenarios import KnownScenarios, count_targets
from export.rows.reader import RowSource


class StarLayer(nn.Module):
    """An affine layer in H + 1 variants: one per known scenario, and the shared one last."""

    def __init__(self, inputs: int, outputs: int, scenarios: int) -> None:
        super().__init__()
        self.shared = nn.Linear(inputs, outputs)
        self.weight = nn.Parameter(torch.ones(scenarios, outputs, inputs))
        self.bias = nn.Parameter(torch.zeros(scenarios, outputs))

    def forward(self, values: Tensor, variant: int) -> Tensor:
        """The variant's output [..., outputs]."""
        shared = self.shared
        if variant == len(self.bias):
            return nn.functional.linear(values, shared.weight, shared.bias)
        return nn.functional.linear(values, shared.weight * self.weight[variant], shared.bias + self.bias[variant])


class Star(TorchModel):
    """The star topology on the features of the target scenario.

    Args:
        tensors: feature names per tensor.
        hidden: widths of the hidden layers.
        scenarios: number of target scenarios in training.
    """

    def __init__(self, tensors: Mapping[str, Sequence[str]], hidden: Sequence[int], scenarios: int) -> None:
        super().__init__(tensors)
        self.scenarios = scenarios
        self.known = KnownScenarios(tensors, scenarios)
        widths = [sum(self.widths.values()), *hidden, 1]
        self.layers = nn.ModuleList(StarLayer(a, b, scenarios) for a, b in pairwise(widths))
        self.auxiliary = nn.Linear(self.widths["scenario"], 1)

    def prepare(self, source: RowSource) -> None:
        """Means, deviations and the scenarios of training."""
        super().prepare(source)
        self.known.prepare(source)

    def _variants(self, scenario: Tensor) -> Tensor:
        """Share of each variant in scenarios [..., S]: [..., H + 1]."""
        share = self.known(scenario)
        return torch.cat([share, 1.0 - share.sum(-1, keepdim=True)], -1)

    def _logit(self, values: Tensor, variant: int) -> Tensor:
        for number, layer in enumerate(self.layers):
            values = layer(torch.relu(values) if number else values, variant)
        return values.squeeze(-1)

    def request_preference(self, request: RequestTensors) -> Tensor:
        """P [N, J]."""
        scaled = {name: self.scaled(name, values) for name, values in request._asdict().items()}
        wide = {name: scaled[name].unsqueeze(1) if name.startswith("item") else scaled[name] for name in TENSORS}
        shape = (*request.cross.shape[:2], -1)
        values = torch.cat([wide[name].expand(shape) for name in TENSORS], -1)
        logits = torch.stack([self._logit(values, variant) for variant in range(self.scenarios + 1)], -1)
        logit = (logits * self._variants(request.scenario)).sum(-1) + self.auxiliary(scaled["scenario"]).squeeze(-1)
        return torch.sigmoid(logit)

    def training_probability(self, batch: RowTensors) -> Tensor:
        """Probability [R]; each row runs through its target scenario's variant alone."""
        parts = {name: at_target(self.scaled(name, getattr(batch, name)), batch) for name in TENSORS[:3]}
        parts |= {name: self.scaled(name, getattr(batch, name)) for name in ("item", "item_text")}
        parts["cross"] = self.scaled("cross", rows_at_target(batch.cross, batch))
        values = torch.cat([parts[name] for name in TENSORS], -1)
        share = self._variants(at_target(batch.scenario, batch))
        logit = torch.zeros(len(values), device=values.device)
        for variant in range(self.scenarios + 1):
            rows = torch.nonzero(share[:, variant]).squeeze(-1)
            part = self._logit(gather_rows(values, rows), variant) * share[rows, variant]
            logit = logit.index_add(0, rows, part)
        return torch.sigmoid(logit + self.auxiliary(parts["scenario"]).squeeze(-1))


KIND = Kind(
    name="star",
    title="STAR",
    description="a shared network multiplied by one of its own for each scenario",
    config=TrainingConfig(),
    build=lambda source, config: Star(source.tensors, config.hidden, count_targets(source)),
)
