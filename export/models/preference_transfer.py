"""P, M and R: preference f, transfer g, and their sum. Kinds `affine` (the reference) and `neural`.

    P[j,n] = sigmoid(f(S_j, B_uj, L_uj, X_n, X_nj and cross features))
    M[i,j] = sigmoid(g(S_i, S_j, L_ui, L_uj))
    R[n]   = sum_j M[i,j] P[j,n]

Without hidden layers f and g are affine. g sees features only, never a scenario id, so a scenario that was never
trained on gets weights from its description and activity.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from export.models.base import FirstLayer, RequestTensors, RowTensors, TorchModel, at_target, combine, head, rows_of

G_BOUND = 4.0
"""g is clamped here, so M lies within (0.018, 0.982): R / sum of M stays a division by what single precision knows well
even where no source seems to tell anything."""


class PreferenceTransfer(TorchModel):
    """The P/M model.

    Args:
        tensors: feature names per tensor.
        hidden_f: widths of f's hidden layers; empty: affine.
        hidden_g: widths of g's hidden layers; empty: affine.
        dropout: share of f's hidden values that a training step leaves out.
        members: networks in f; P is their mean. Each is fitted to the labels on its own and they err differently, so
            the mean is better than any (Hansen and Salamon, 1990); in one graph, with one M.
    """

    uses_sources = True

    def __init__(
        self,
        tensors: Mapping[str, Sequence[str]],
        hidden_f: Sequence[int],
        hidden_g: Sequence[int],
        dropout: float = 0.0,
        members: int = 1,
    ) -> None:
        super().__init__(tensors)
        f, g = (hidden_f[0] if hidden_f else 1), (hidden_g[0] if hidden_g else 1)
        self.f_first = FirstLayer(self.widths, f * members)
        self.f_heads = nn.ModuleList(head(hidden_f, dropout) for _ in range(members))
        widths = {name: self.widths[name] for name in ("scenario", "language")}
        self.g_target = nn.ModuleDict({name: nn.Linear(width, g, bias=False) for name, width in widths.items()})
        self.g_source = nn.ModuleDict({name: nn.Linear(width, g) for name, width in widths.items()})
        self.g_head = head(hidden_g)

    def preference(self, context: Tensor, item: Tensor, cross: Tensor) -> Tensor:
        """Each member's P [N, J, members] from f's parts of context [N or 1, J, f], item [N, f] and cross [N, J, C]."""
        first = context + item.unsqueeze(1) + self.f_first.cross(self.scaled("cross", cross))
        parts = first.chunk(len(self.f_heads), dim=-1)
        return torch.sigmoid(torch.cat([one(part) for one, part in zip(self.f_heads, parts, strict=True)], dim=-1))

    def transfer(self, scenario: Tensor, language: Tensor) -> Tensor:
        """M [K, I, J] for all pairs of scenarios; scenario [K or none, J, S], language [K, J, D]."""
        scenario, language = self.scaled("scenario", scenario), self.scaled("language", language)
        target = self.g_target["scenario"](scenario) + self.g_target["language"](language)
        source = self.g_source["scenario"](scenario) + self.g_source["language"](language)
        first = target.unsqueeze(-2) + source.unsqueeze(-3)
        return torch.sigmoid(self.g_head(first).clamp(-G_BOUND, G_BOUND)).squeeze(-1)

    def request_preference(self, request: RequestTensors) -> Tensor:
        """P [N, J], the mean of the members'."""
        context, item = self.first_parts(self.f_first, request)
        return self.preference(context, item, request.cross).mean(-1)

    def request_transfer(self, request: RequestTensors, target: Tensor) -> Tensor:
        """M [J], the posterior's mean over target scenarios."""
        weights: Tensor = (target @ self.transfer(request.scenario, request.language)[0])[0]
        return weights

    def preference_of_rows(self, batch: RowTensors) -> Tensor:
        """Each member's P [R, J, members] of rows of many contexts."""
        context, item = self.first_parts(self.f_first, batch)
        return self.preference(rows_of(context, batch.row_context), item, batch.cross)

    def training_probability(self, batch: RowTensors) -> Tensor:
        """Each member's probability [R, members]; dropped source scenarios weigh 0."""
        weights = at_target(self.transfer(batch.scenario, batch.language), batch) * batch.weight_of_source
        return combine(self.preference_of_rows(batch).transpose(1, 2), weights.unsqueeze(1))[1]
