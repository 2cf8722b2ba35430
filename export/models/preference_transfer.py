"""The P/M model: preference P, transfer weights M and score R. Kinds `affine` (the reference) and `neural`.

    P[j,n] = sigmoid(f(S_j, B_uj, L_uj, X_n, X_nj and cross features))
    M[i,j] = sigmoid(g(S_i, S_j, L_ui, L_uj) + d [i = j])
    R[n]   = sum_j M[i,j] P[j,n]

Without hidden layers f and g are affine. g sees features only, no scenario ids, so a scenario without training rows
gets weights from its description and activity; d, one trained number, is what a scenario's own preference has over
others of like features. Before training M is its prior. The loss is that of export.models.loss.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from export.models.base import (
    TENSORS,
    FirstLayer,
    RequestTensors,
    RowTensors,
    TorchModel,
    at_target,
    build_head,
    combine_preferences,
    gather_rows,
    rows_at_target,
)
from export.models.config import TrainingConfig
from export.models.kind import Kind
from export.models.loss import OTHERS, OWN, Loss, cross_entropy, identified_loss, pull_strength, transfer_prior
from export.models.onnx_export import export_onnx
from export.rows.reader import RowSource

G_BOUND = 4.0
"""g is clamped to +-G_BOUND, so M lies within (0.018, 0.982): the division R / sum of M stays accurate in single
precision even where all weights are small."""


class PreferenceTransfer(TorchModel):
    """The P/M model.

    Args:
        tensors: feature names per tensor.
        hidden_f: widths of f's hidden layers; empty: affine.
        hidden_g: widths of g's hidden layers; empty: affine.
        dropout: share of f's hidden values that a training step leaves out.
        members: networks in f, of which P is the mean. Each is fitted to the labels on its own; their errors differ, so
            the mean is better than any of them (Hansen and Salamon, 1990). They share one graph and one M.
        own_weight: weight of the cross-entropy of P[i] in the loss (export.models.loss).
        transfer_pull: weight of g's squared distance from its prior there.
    """

    prior: Tensor
    strength: Tensor

    def __init__(
        self,
        tensors: Mapping[str, Sequence[str]],
        hidden_f: Sequence[int],
        hidden_g: Sequence[int],
        dropout: float = 0.0,
        members: int = 1,
        own_weight: float = 0.0,
        transfer_pull: float = 0.0,
    ) -> None:
        super().__init__(tensors)
        self.own_weight, self.transfer_pull = own_weight, transfer_pull
        f, g = (hidden_f[0] if hidden_f else 1), (hidden_g[0] if hidden_g else 1)
        self.f_first = FirstLayer(self.widths, f * members)
        self.f_heads = nn.ModuleList(build_head(hidden_f, dropout) for _ in range(members))
        widths = {name: self.widths[name] for name in ("scenario", "language")}
        self.g_target = nn.ModuleDict({name: nn.Linear(width, g, bias=False) for name, width in widths.items()})
        self.g_source = nn.ModuleDict({name: nn.Linear(width, g) for name, width in widths.items()})
        self.g_head = build_head(hidden_g)
        self.g_own = nn.Parameter(torch.tensor(OWN - OTHERS))
        self.register_buffer("prior", torch.zeros(0, 0), persistent=False)
        self.register_buffer("strength", torch.zeros(0), persistent=False)
        self.register_buffer("unlabelled", torch.zeros(0, dtype=torch.bool), persistent=False)
        self._start_at_prior()

    def _start_at_prior(self) -> None:
        """Set g to its prior, whatever its features: what differs later, rows have moved."""
        last = [layer for layer in self.g_head if isinstance(layer, nn.Linear)][-1:]
        affine = [*self.g_target.values(), *self.g_source.values()]
        with torch.no_grad():
            for parameter in (p for layer in last or affine for p in layer.parameters()):
                parameter.zero_()
            bias = last[0].bias if last else self.g_source["scenario"].bias
            bias.fill_(OTHERS)  # type: ignore[operator]

    def prepare(self, source: RowSource) -> None:
        """Means, deviations, the prior of g, where it starts, and which sources have no labelled rows."""
        super().prepare(source)
        self.prior, self.strength = transfer_prior(source.rows_per_target), pull_strength(source.rows_per_target)
        self.unlabelled = torch.from_numpy(source.rows_per_target == 0)
        with torch.no_grad():
            self.g_own.copy_(self.prior.diagonal()[~self.unlabelled].mean() - OTHERS)

    def preference(self, context: Tensor, item: Tensor, cross: Tensor) -> Tensor:
        """Each member's P [N, J, members] from f's parts of context [N or 1, J, f], item [N, f] and cross [N, J, C]."""
        first = context + item.unsqueeze(1) + self.f_first.cross(self.scaled("cross", cross))
        parts = first.chunk(len(self.f_heads), dim=-1)
        return torch.sigmoid(torch.cat([one(part) for one, part in zip(self.f_heads, parts, strict=True)], dim=-1))

    def transfer(self, scenario: Tensor, language: Tensor) -> Tensor:
        """M [K, I, J] for all pairs of scenarios; scenario [K or none, J, S], language [K, J, D]."""
        return _weights(self.transfer_logits(scenario, language))

    def transfer_logits(self, scenario: Tensor, language: Tensor) -> Tensor:
        """Logits of M [K, I, J], not clamped."""
        scenario, language = self.scaled("scenario", scenario), self.scaled("language", language)
        target = self.g_target["scenario"](scenario) + self.g_target["language"](language)
        source = self.g_source["scenario"](scenario) + self.g_source["language"](language)
        first = target.unsqueeze(-2) + source.unsqueeze(-3)
        own = self.g_own * torch.eye(scenario.shape[-2], device=scenario.device)
        logits: Tensor = self.g_head(first).squeeze(-1) + own
        return logits

    def request_preference(self, request: RequestTensors) -> Tensor:
        """P [N, J], the mean of the members'."""
        return self.served_preference(request, None)

    def served_preference(self, given: RequestTensors, row: Tensor | None) -> Tensor:
        """P [N, J] of one request, or of several [K, J, ...], where `row` [N] is the request of each item.

        Same values as `preference`, in the form that is fastest on a CPU: matrix products run at peak speed, the
        operations between them do not. So the product of the cross features is added to the items' part, and the part
        of a single context is appended to that product as rows that a one in the pair's scenario selects.
        """
        items, sources = given.cross.shape[:2]
        context = self.f_first.context(*(self.scaled(name, getattr(given, name)) for name in TENSORS[:3]))
        item = torch.cat([self.scaled("item", given.item), self.scaled("item_text", given.item_text)], -1)
        pairs = self.standardise["cross"].standardise_pairs(given.cross)  # type: ignore[operator]
        if row is None:
            one = torch.eye(sources, device=pairs.device).expand(items, sources, sources)
            pairs = torch.cat([pairs, one], -1)
        logits = [
            self._member_logits(number, context, item, pairs.flatten(0, 1), row) for number in range(len(self.f_heads))
        ]
        return torch.sigmoid(torch.cat(logits)).mean(0).view(items, sources)

    def _member_logits(self, number: int, context: Tensor, item: Tensor, pairs: Tensor, row: Tensor | None) -> Tensor:
        """Logits [1, N * J] of one member."""
        width = context.shape[-1] // len(self.f_heads)
        own = slice(number * width, (number + 1) * width)
        weights = {name: self.f_first.parts[name].weight[own] for name in TENSORS}  # type: ignore[index]
        bias: Tensor = self.f_first.parts["item"].bias[own]  # type: ignore[index]
        both, cross = torch.cat([weights["item"], weights["item_text"]], -1), weights["cross"].t()
        of_items = nn.functional.linear(item, both, bias).unsqueeze(1)
        if row is None:
            added = of_items.expand(-1, context.shape[1], width)
            cross = torch.cat([cross, context[0, :, own]])
        else:
            added = of_items + gather_rows(context[..., own], row)
        return _head_logits(self.f_heads[number], torch.addmm(added.flatten(0, 1), pairs, cross))

    def request_transfer(self, request: RequestTensors, target: Tensor) -> Tensor:
        """M [J], the mean over the target posterior."""
        weights: Tensor = (target @ self.transfer(request.scenario, request.language)[0])[0]
        return weights

    def preference_of_rows(self, batch: RowTensors) -> Tensor:
        """Each member's P [R, J, members] of rows of many contexts."""
        context, item = self.first_layer_parts(self.f_first, batch)
        return self.preference(gather_rows(context, batch.row_context), item, batch.cross)

    def training_probability(self, batch: RowTensors) -> Tensor:
        """Each member's probability [R, members]; dropped source scenarios weigh 0."""
        return self._mix(batch, self.preference_of_rows(batch), self.transfer_logits(batch.scenario, batch.language))

    def training_loss(self, batch: RowTensors) -> Loss:
        """The loss that identifies P and M."""
        preference, logits = self.preference_of_rows(batch), self.transfer_logits(batch.scenario, batch.language)
        score = cross_entropy(self._mix(batch, preference, logits), batch.label)
        own = self._own_loss(preference, batch)
        pulled = logits - self.prior, self.strength
        return Loss(identified_loss(score, own, *pulled, self.own_weight, self.transfer_pull), score)

    def _own_loss(self, preference: Tensor, batch: RowTensors) -> Tensor:
        """Cross-entropy of P[i] on the rows of i, and of each source without labelled rows on those of all targets.

        Every source counts the same in the mean: the labelled ones share the first term.
        """
        own = cross_entropy(rows_at_target(preference, batch), batch.label)
        if not self.unlabelled.any():
            return own
        others = cross_entropy(preference[:, self.unlabelled].flatten(1), batch.label)
        return own + others * self.unlabelled.sum() / (~self.unlabelled).sum()

    def _mix(self, batch: RowTensors, preference: Tensor, logits: Tensor) -> Tensor:
        """R / sum M of rows [R, members] from their P [R, J, members] and the logits of M [K, J, J]."""
        weights = at_target(_weights(logits), batch) * batch.weight_of_source
        return combine_preferences(preference.transpose(1, 2), weights.unsqueeze(1))[1]


def _weights(logits: Tensor) -> Tensor:
    """M of the logits of g, of the same shape."""
    return torch.sigmoid(logits.clamp(-G_BOUND, G_BOUND))


def _head_logits(head: nn.Module, first: Tensor) -> Tensor:
    """A member's logits [1, pairs] from its first layer's output [pairs, f].

    The last layer has one output: a row times a matrix is twice as fast as a matrix times a column.
    """
    layers = list(head.children())
    for layer in layers[:-1]:
        first = layer(first)
    return torch.addmm(layers[-1].bias, layers[-1].weight, first.t()) if layers else first.t()  # type: ignore[arg-type]


class BatchedRequests(nn.Module):
    """The model for several requests with equally many scenarios in one run; same values as one by one.

    Args:
        model: the model.
    """

    def __init__(self, model: PreferenceTransfer) -> None:
        super().__init__()
        self.model, self.widths = model, model.widths

    def forward(
        self,
        scenario: Tensor,
        behavior: Tensor,
        language: Tensor,
        item: Tensor,
        item_text: Tensor,
        cross: Tensor,
        target: Tensor,
        request: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """P [N, J], M [K, J], R [N], R / sum M [N]; scenario, behavior, language [K, J, ...], target [K, J].

        `request` [N] is the request of each item.
        """
        given = RequestTensors(scenario, behavior, language, item, item_text, cross)
        preference = self.model.served_preference(given, request)
        weights = (target.unsqueeze(1) @ self.model.transfer(scenario, language)).squeeze(1)
        return preference, weights, *combine_preferences(preference, gather_rows(weights, request))


def export_batched(model: PreferenceTransfer, path: Path) -> None:
    """Write the graph that scores several requests per run: its inputs are INPUTS and `request`."""
    export_onnx(BatchedRequests(model), path, batched=True)


def _build(source: RowSource, config: TrainingConfig) -> PreferenceTransfer:
    return PreferenceTransfer(
        source.tensors,
        config.hidden,
        config.hidden_g,
        config.dropout,
        config.members,
        config.own_weight,
        config.transfer_pull,
    )


AFFINE = Kind(
    name="affine",
    title="P/M affine",
    description="preferences per source scenario, summed with transfer weights; both affine",
    config=TrainingConfig(hidden=(), hidden_g=(), learning_rate=2e-2),
    build=_build,
    export_batched=export_batched,
    has_transfer=True,
)

NEURAL = Kind(
    name="neural",
    title="P/M neural",
    description="preferences per source scenario, summed with transfer weights; both networks",
    config=TrainingConfig(members=3),
    build=_build,
    export_batched=export_batched,
    has_transfer=True,
)
