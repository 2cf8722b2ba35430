"""P, M and R as a torch module: preference f, transfer g, and their sum.

    P[j,n] = sigmoid(f(S_j, B_uj, L_uj, X_n, X_nj and cross features))
    M[i,j] = sigmoid(g(S_i, S_j, L_ui, L_uj))
    R[n]   = sum_j M[i,j] P[j,n]

Without hidden layers f and g are affine: the reference model. g sees features only, never a scenario id, so a
scenario that was never trained on gets weights from its description and activity. The first layers are sums of
parts (scenario, user, item, cross), each computed once for what it depends on.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import reduce

import torch
from torch import Tensor, nn

TENSORS = ("scenario", "behavior", "language", "item", "item_text", "cross")
"""Inputs of the model in order, as services.features.encode makes them; then the target posterior."""

CLIP = 8.0
"""Standardised features are clipped here: a value never seen in training must not take over a score."""


class Standardise(nn.Module):
    """Takes features to mean 0 and deviation 1 with the training rows' statistics, kept in the graph."""

    mean: Tensor
    scale: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("scale", torch.ones(width))

    def fit(self, values: Tensor) -> None:
        """Take mean and deviation from values [..., width]; a constant feature is left as it is."""
        flat = values.reshape(-1, values.shape[-1]).double()
        deviation = flat.std(0, correction=0)
        self.mean.copy_(flat.mean(0))
        self.scale.copy_(torch.where(deviation > 1e-6, 1.0 / deviation.clamp_min(1e-6), 1.0))

    def forward(self, values: Tensor) -> Tensor:
        """Standardised values [..., width]."""
        return torch.clamp((values - self.mean) * self.scale, -CLIP, CLIP)


def _head(hidden: Sequence[int]) -> nn.Sequential:
    """Layers after the first sum; empty for an affine model."""
    layers: list[nn.Module] = []
    for width, following in zip(hidden, [*hidden, 1][1:], strict=True):
        layers += [nn.ReLU(), nn.Linear(width, following)]
    return nn.Sequential(*layers)


def _sum(parts: Iterable[Tensor]) -> Tensor:
    return reduce(torch.add, parts)


class PreferenceTransfer(nn.Module):
    """The P/M model.

    Args:
        widths: number of features per tensor name.
        hidden_f: widths of f's hidden layers; empty: affine.
        hidden_g: widths of g's hidden layers; empty: affine.
    """

    def __init__(self, widths: Mapping[str, int], hidden_f: Sequence[int], hidden_g: Sequence[int]) -> None:
        super().__init__()
        f, g = (hidden_f[0] if hidden_f else 1), (hidden_g[0] if hidden_g else 1)
        self.standardise = nn.ModuleDict({name: Standardise(widths[name]) for name in TENSORS})
        self.f_parts = nn.ModuleDict({name: nn.Linear(widths[name], f, bias=name == "item") for name in TENSORS})
        self.f_head = _head(hidden_f)
        g_widths = {"scenario": widths["scenario"], "language": widths["language"]}
        self.g_target = nn.ModuleDict({name: nn.Linear(width, g, bias=False) for name, width in g_widths.items()})
        self.g_source = nn.ModuleDict({name: nn.Linear(width, g) for name, width in g_widths.items()})
        self.g_head = _head(hidden_g)

    def scaled(self, name: str, values: Tensor) -> Tensor:
        """A tensor, standardised."""
        scaled: Tensor = self.standardise[name](values)
        return scaled

    def context_part(self, scenario: Tensor, behavior: Tensor, language: Tensor) -> Tensor:
        """What f's first layer gets from scenarios and user: [K, J, f]."""
        parts = {"scenario": scenario, "behavior": behavior, "language": language}
        return _sum(self.f_parts[name](self.scaled(name, part)) for name, part in parts.items())

    def item_part(self, item: Tensor, item_text: Tensor) -> Tensor:
        """What f's first layer gets from the items: [N, 1, f]."""
        total: Tensor = self.f_parts["item"](self.scaled("item", item))
        total = total + self.f_parts["item_text"](self.scaled("item_text", item_text))
        return total.unsqueeze(1)

    def preference(self, context: Tensor, item: Tensor, cross: Tensor) -> Tensor:
        """P [N, J] from the context part of each row [N or 1, J, f], the item part and cross [N, J, C]."""
        first = context + item + self.f_parts["cross"](self.scaled("cross", cross))
        return torch.sigmoid(self.f_head(first)).squeeze(-1)

    def transfer(self, scenario: Tensor, language: Tensor) -> Tensor:
        """M [K, I, J] for all pairs of scenarios; scenario [K or none, J, S], language [K, J, D]."""
        parts = {"scenario": self.scaled("scenario", scenario), "language": self.scaled("language", language)}
        target = _sum(self.g_target[name](part) for name, part in parts.items())
        source = _sum(self.g_source[name](part) for name, part in parts.items())
        first = target.unsqueeze(-2) + source.unsqueeze(-3)
        return torch.sigmoid(self.g_head(first)).squeeze(-1)

    def forward(
        self,
        scenario: Tensor,
        behavior: Tensor,
        language: Tensor,
        item: Tensor,
        item_text: Tensor,
        cross: Tensor,
        target: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """One request, as it is served.

        Args:
            scenario: [J, S]
            behavior: [1, J, B]
            language: [1, J, D]
            item: [N, X]
            item_text: [N, D]
            cross: [N, J, C]
            target: [1, J] posterior over target scenarios.

        Returns:
            preference P [N, J], transfer weights M [J], score R [N], probability R / sum M [N].
        """
        preference = self.preference(
            self.context_part(scenario, behavior, language), self.item_part(item, item_text), cross
        )
        weights = (target @ self.transfer(scenario, language)[0])[0]
        score, probability = combine(preference, weights)
        return preference, weights, score, probability


def combine(preference: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """R [N] = sum_j M[j] P[n,j] and R / sum_j M; weights [J], or [N, J] for rows of several targets."""
    score = (preference * weights).sum(-1)
    return score, score / weights.sum(-1)
