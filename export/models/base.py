"""What every kind of model is: trained on rows of many contexts at once, served one request at a time.

    served:   forward(scenario [J, S], behavior [1, J, B], language [1, J, D], item [N, X], item_text [N, D],
                      cross [N, J, C], target [1, J])
              -> preference P [N, J], transfer weights M [J], score R [N], probability R / sum M [N]
    trained:  training_probability(batch) -> probability [R], the same number

Knows torch and batches of rows; knows nothing of files, training or registries.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from export.rows.reader import RowBatch, RowSource
from services.errors import CrossRecError

TENSORS = ("scenario", "behavior", "language", "item", "item_text", "cross")
"""Inputs of the model in order, as services.features.encode makes them; then the target posterior."""

INPUTS = (*TENSORS, "target")
OUTPUTS = ("preference", "transfer", "score", "probability")

CLIP = 8.0
"""Standardised features are clipped here: a value never seen in training must not take over a score."""

SCALE_ROWS = 250_000
"""This many rows settle mean and deviation."""


class ModelError(CrossRecError):
    """A model cannot be built from these rows, or not here; the text says why."""


class Model(Protocol):
    """A trained model of any kind."""

    def probability(self, batch: RowBatch) -> NDArray[np.float64]:
        """Probability of every row [R]."""
        ...

    def outputs(self, inputs: Mapping[str, NDArray[np.float32]]) -> tuple[NDArray[Any], ...]:
        """OUTPUTS of one request, given INPUTS."""
        ...


@dataclass(frozen=True)
class RowTensors:
    """A RowBatch on a device; shapes as there, but `item_text` is [R, D]."""

    label: Tensor
    target: Tensor
    row_context: Tensor
    item: Tensor
    item_text: Tensor
    cross: Tensor
    behavior: Tensor
    language: Tensor
    scenario: Tensor
    weight_of_source: Tensor

    @staticmethod
    def of(batch: RowBatch, device: torch.device) -> "RowTensors":
        """The batch's arrays as tensors."""
        names = [f.name for f in fields(RowTensors)]
        return RowTensors(**{name: torch.from_numpy(getattr(batch, name)).to(device) for name in names})


class RequestTensors(NamedTuple):
    """The tensors of one request, in the order of TENSORS; shapes in the module's docstring."""

    scenario: Tensor
    behavior: Tensor
    language: Tensor
    item: Tensor
    item_text: Tensor
    cross: Tensor


class Standardise(nn.Module):
    """Takes features to mean 0 and deviation 1 with the training rows' statistics, kept in the graph."""

    mean: Tensor
    scale: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("scale", torch.ones(width))

    def set(self, moments: "Moments") -> None:
        """Take mean and deviation; a constant feature is left as it is."""
        deviation = torch.from_numpy(moments.deviation)
        self.mean.copy_(torch.from_numpy(moments.mean))
        self.scale.copy_(torch.where(deviation > 1e-6, 1.0 / deviation.clamp_min(1e-6), 1.0))

    def forward(self, values: Tensor) -> Tensor:
        """Standardised values [..., width]."""
        return torch.clamp((values - self.mean) * self.scale, -CLIP, CLIP)

    def pairs(self, values: Tensor) -> Tensor:
        """The same for values [N, J, width], as rows J times as wide: fewer, longer rows are passed over faster."""
        wide = values.flatten(1)
        mean, scale = self.mean.repeat(values.shape[1]), self.scale.repeat(values.shape[1])
        return torch.clamp((wide - mean) * scale, -CLIP, CLIP).view(values.shape)


class Moments:
    """Mean and deviation of features, added up batch by batch around the first value seen."""

    def __init__(self) -> None:
        self._count, self._shift, self._sum, self._squares = 0, np.zeros(0), np.zeros(0), np.zeros(0)

    def add(self, values: NDArray[np.float32]) -> None:
        """Count values [..., width]."""
        flat = values.reshape(-1, values.shape[-1]).astype(np.float64)
        if not self._count:
            self._shift, self._sum, self._squares = flat[0].copy(), np.zeros(flat.shape[1]), np.zeros(flat.shape[1])
        flat -= self._shift
        self._count += len(flat)
        self._sum += flat.sum(0)
        self._squares += np.einsum("nf,nf->f", flat, flat)

    @property
    def mean(self) -> NDArray[np.float64]:
        """Mean [width]."""
        result: NDArray[np.float64] = self._shift + self._sum / self._count
        return result

    @property
    def deviation(self) -> NDArray[np.float64]:
        """Standard deviation [width]."""
        variance = self._squares / self._count - (self._sum / self._count) ** 2
        result: NDArray[np.float64] = np.sqrt(np.maximum(variance, 0.0))
        return result


class TorchModel(nn.Module, ABC):
    """Base of the kinds that are torch modules.

    Args:
        tensors: feature names per tensor.
    """

    def __init__(self, tensors: Mapping[str, Sequence[str]]) -> None:
        super().__init__()
        self.widths = {name: len(tensors[name]) for name in TENSORS}
        self.standardise = nn.ModuleDict({name: Standardise(self.widths[name]) for name in TENSORS})

    def prepare(self, source: RowSource) -> None:
        """Take from the training rows what is not learnt by descent: here, means and deviations."""
        stride = -(-len(source) // SCALE_ROWS)
        sample = RowSource(source.directory, source.split, source.selection, part=(0, stride))
        moments = {name: Moments() for name in TENSORS}
        for number, batch in enumerate(sample.batches()):
            if not number:
                moments["item_text"].add(batch.texts)
            for name in moments.keys() - {"item_text"}:
                moments[name].add(getattr(batch, name))
        for name, found in moments.items():
            self.standardise[name].set(found)  # type: ignore[operator]

    def scaled(self, name: str, values: Tensor) -> Tensor:
        """A tensor, standardised."""
        scaled: Tensor = self.standardise[name](values)
        return scaled

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
        """One request, as it is served; shapes in the module's docstring."""
        request = RequestTensors(scenario, behavior, language, item, item_text, cross)
        preference, weights = self.request_preference(request), self.request_transfer(request, target)
        return preference, weights, *combine(preference, weights)

    @abstractmethod
    def request_preference(self, request: "RequestTensors") -> Tensor:
        """P [N, J]; of a model without transfer weights, the probability were j the target."""

    def request_transfer(self, request: "RequestTensors", target: Tensor) -> Tensor:
        """M [J]; of a model without transfer weights, the target posterior itself (target [1, J])."""
        del request
        return target[0]

    def first_parts(self, first: "FirstLayer", given: "RequestTensors | RowTensors") -> tuple[Tensor, Tensor]:
        """What a first layer makes of contexts [K, J, width] and of items [N, width]."""
        context = first.context(*(self.scaled(name, getattr(given, name)) for name in TENSORS[:3]))
        return context, first.item(self.scaled("item", given.item), self.scaled("item_text", given.item_text))

    @abstractmethod
    def training_probability(self, batch: RowTensors) -> Tensor:
        """Probability of rows of many contexts, [R] or, of a model with several members, [R, members]."""

    @torch.no_grad()
    def probability(self, batch: RowBatch) -> NDArray[np.float64]:
        """Probability of every row [R]."""
        device = next(self.buffers()).device
        found = self.training_probability(RowTensors.of(batch, device)).double()
        result: NDArray[np.float64] = (found.mean(-1) if found.dim() == 2 else found).cpu().numpy()
        return result

    @torch.no_grad()
    def outputs(self, inputs: Mapping[str, NDArray[np.float32]]) -> tuple[NDArray[Any], ...]:
        """OUTPUTS of one request, given INPUTS."""
        device = next(self.buffers()).device
        found = self(*(torch.from_numpy(inputs[name]).to(device) for name in INPUTS))
        return tuple(output.cpu().numpy() for output in found)


class FirstLayer(nn.Module):
    """An affine layer over all features of a row in one scenario, as a sum of parts that are computed once each.

    Args:
        widths: number of features per tensor.
        width: of its output.
    """

    def __init__(self, widths: Mapping[str, int], width: int) -> None:
        super().__init__()
        self.parts = nn.ModuleDict({name: nn.Linear(widths[name], width, bias=name == "item") for name in TENSORS})

    def context(self, scenario: Tensor, behavior: Tensor, language: Tensor) -> Tensor:
        """The part of scenarios and user, [K, J, width]."""
        parts = self.parts
        total: Tensor = parts["scenario"](scenario) + parts["behavior"](behavior) + parts["language"](language)
        return total

    def item(self, item: Tensor, item_text: Tensor) -> Tensor:
        """The part of items, [N, width]."""
        total: Tensor = self.parts["item"](item) + self.parts["item_text"](item_text)
        return total

    def cross(self, cross: Tensor) -> Tensor:
        """The part of user, item and scenario together, [..., width]."""
        part: Tensor = self.parts["cross"](cross)
        return part


def head(hidden: Sequence[int], dropout: float = 0.0) -> nn.Sequential:
    """Layers after the first: ReLU, dropout, affine, down to one output; empty without hidden layers."""
    layers: list[nn.Module] = []
    for width, following in zip(hidden, [*hidden, 1][1:], strict=True):
        layers += [nn.ReLU(), *([nn.Dropout(dropout)] if dropout else []), nn.Linear(width, following)]
    return nn.Sequential(*layers)


def rows_of(values: Tensor, index: Tensor) -> Tensor:
    """Values at an index along the first axis; its gradient is summed much faster than that of indexing."""
    return torch.index_select(values, 0, index)


def at_target(values: Tensor, batch: RowTensors) -> Tensor:
    """Values [K, J, ...] of each row's context and target scenario, [R, ...]."""
    return rows_of(values.flatten(0, 1), batch.row_context * values.shape[1] + batch.target)


def cross_at_target(batch: RowTensors) -> Tensor:
    """Each row's cross features in its target scenario, [R, C]."""
    count, sources = batch.cross.shape[:2]
    place = torch.arange(count, device=batch.target.device) * sources + batch.target
    return rows_of(batch.cross.flatten(0, 1), place)


def combine(preference: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """R [N] = sum_j M[j] P[n,j] and R / sum_j M; weights [J], or [N, J] for rows of several targets."""
    score = (preference * weights).sum(-1)
    return score, score / weights.sum(-1)
