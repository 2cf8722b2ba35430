"""The interface of every kind of model: trained on rows of many contexts at once, served one request at a time.

    served:   forward(scenario [J, S], behavior [1, J, B], language [1, J, D], item [N, X], item_text [N, D],
                      cross [N, J, C], target [1, J])
              -> preference P [N, J], transfer weights M [J], score R [N], probability R / sum M [N]
    trained:  training_probability(batch) -> probability [R], the same number
              training_loss(batch) -> what is minimised

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

from export.models.loss import Loss, cross_entropy
from export.rows.reader import RowBatch, RowSource
from services.errors import CrossRecError

TENSORS = ("scenario", "behavior", "language", "item", "item_text", "cross")
"""Inputs of a model in order, as services.features.encode makes them; the target posterior follows."""

INPUTS = (*TENSORS, "target")
OUTPUTS = ("preference", "transfer", "score", "probability")

CLIP = 8.0
"""Bound of standardised features: a value far outside the training rows must not dominate a score."""

SCALE_ROWS = 250_000
"""Number of rows from which means and deviations are estimated."""


class ModelError(CrossRecError):
    """A model cannot be built from these rows or on this machine; the text gives the reason."""


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
    """Standardises features to mean 0 and deviation 1 of the training rows; its statistics are part of the graph."""

    mean: Tensor
    scale: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("scale", torch.ones(width))

    def set_statistics(self, statistics: "RunningStats") -> None:
        """Take mean and deviation; the scale of a constant feature is 1."""
        deviation = torch.from_numpy(statistics.deviation)
        self.mean.copy_(torch.from_numpy(statistics.mean))
        self.scale.copy_(torch.where(deviation > 1e-6, 1.0 / deviation.clamp_min(1e-6), 1.0))

    def forward(self, values: Tensor) -> Tensor:
        """Standardised values [..., width]."""
        return torch.clamp((values - self.mean) * self.scale, -CLIP, CLIP)

    def standardise_pairs(self, values: Tensor) -> Tensor:
        """Standardised values [N, J, width], computed on rows J times as wide: fewer, longer rows are faster."""
        wide = values.flatten(1)
        mean, scale = self.mean.repeat(values.shape[1]), self.scale.repeat(values.shape[1])
        return torch.clamp((wide - mean) * scale, -CLIP, CLIP).view(values.shape)


class RunningStats:
    """Mean and deviation of features, accumulated batch by batch relative to the first row."""

    def __init__(self) -> None:
        self._count, self._shift, self._sum, self._squares = 0, np.zeros(0), np.zeros(0), np.zeros(0)

    def add(self, values: NDArray[np.float32]) -> None:
        """Add values [..., width]."""
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
        """Set what training rows determine without gradient descent: here, means and deviations."""
        stride = -(-len(source) // SCALE_ROWS)
        sample = RowSource(source.directory, source.split, source.selection, part=(0, stride))
        statistics = {name: RunningStats() for name in TENSORS}
        for number, batch in enumerate(sample.batches()):
            if not number:
                statistics["item_text"].add(batch.texts)
            for name in statistics.keys() - {"item_text"}:
                statistics[name].add(getattr(batch, name))
        for name, of_tensor in statistics.items():
            self.standardise[name].set_statistics(of_tensor)  # type: ignore[operator]

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
        """Outputs of one request, as served; shapes in the module's docstring."""
        request = RequestTensors(scenario, behavior, language, item, item_text, cross)
        preference, weights = self.request_preference(request), self.request_transfer(request, target)
        return preference, weights, *combine_preferences(preference, weights)

    @abstractmethod
    def request_preference(self, request: "RequestTensors") -> Tensor:
        """P [N, J]; for a model without transfer weights, the probability if j were the target."""

    def request_transfer(self, request: "RequestTensors", target: Tensor) -> Tensor:
        """M [J]; for a model without transfer weights, the target posterior (target [1, J])."""
        del request
        return target[0]

    def first_layer_parts(self, first: "FirstLayer", given: "RequestTensors | RowTensors") -> tuple[Tensor, Tensor]:
        """A first layer's parts of contexts [K, J, width] and of items [N, width]."""
        context = first.context(*(self.scaled(name, getattr(given, name)) for name in TENSORS[:3]))
        return context, first.item(self.scaled("item", given.item), self.scaled("item_text", given.item_text))

    @abstractmethod
    def training_probability(self, batch: RowTensors) -> Tensor:
        """Probability of rows of many contexts, [R] or, of a model with several members, [R, members]."""

    def training_loss(self, batch: RowTensors) -> Loss:
        """The loss of rows of many contexts."""
        log_loss = cross_entropy(self.training_probability(batch), batch.label)
        return Loss(log_loss, log_loss)

    @torch.no_grad()
    def probability(self, batch: RowBatch) -> NDArray[np.float64]:
        """Probability of every row [R]."""
        device = next(self.buffers()).device
        values = self.training_probability(RowTensors.of(batch, device)).double()
        result: NDArray[np.float64] = (values.mean(-1) if values.dim() == 2 else values).cpu().numpy()
        return result

    @torch.no_grad()
    def outputs(self, inputs: Mapping[str, NDArray[np.float32]]) -> tuple[NDArray[Any], ...]:
        """OUTPUTS of one request, given INPUTS."""
        device = next(self.buffers()).device
        outputs = self(*(torch.from_numpy(inputs[name]).to(device) for name in INPUTS))
        return tuple(output.cpu().numpy() for output in outputs)


class FirstLayer(nn.Module):
    """An affine layer over all features of a row in one scenario, as a sum of parts of which each is computed once.

    Args:
        widths: number of features per tensor.
        width: width of the output.
    """

    def __init__(self, widths: Mapping[str, int], width: int) -> None:
        super().__init__()
        self.parts = nn.ModuleDict({name: nn.Linear(widths[name], width, bias=name == "item") for name in TENSORS})

    def context(self, scenario: Tensor, behavior: Tensor, language: Tensor) -> Tensor:
        """Part of scenarios and user, [K, J, width]."""
        parts = self.parts
        total: Tensor = parts["scenario"](scenario) + parts["behavior"](behavior) + parts["language"](language)
        return total

    def item(self, item: Tensor, item_text: Tensor) -> Tensor:
        """Part of items, [N, width]."""
        total: Tensor = self.parts["item"](item) + self.parts["item_text"](item_text)
        return total

    def cross(self, cross: Tensor) -> Tensor:
        """Part of user, item and scenario together, [..., width]."""
        part: Tensor = self.parts["cross"](cross)
        return part


def build_head(hidden: Sequence[int], dropout: float = 0.0) -> nn.Sequential:
    """The layers after the first one: ReLU, dropout, affine, down to one output; empty without hidden layers."""
    layers: list[nn.Module] = []
    for width, following in zip(hidden, [*hidden, 1][1:], strict=True):
        layers += [nn.ReLU(), *([nn.Dropout(dropout)] if dropout else []), nn.Linear(width, following)]
    return nn.Sequential(*layers)


def gather_rows(values: Tensor, index: Tensor) -> Tensor:
    """Rows of values at an index; its gradient is much faster than that of indexing."""
    return torch.index_select(values, 0, index)


def at_target(values: Tensor, batch: RowTensors) -> Tensor:
    """Values [K, J, ...] of each row's context and target scenario, [R, ...]."""
    return gather_rows(values.flatten(0, 1), batch.row_context * values.shape[1] + batch.target)


def rows_at_target(values: Tensor, batch: RowTensors) -> Tensor:
    """Each row's values [R, J, ...] in its target scenario, [R, ...]."""
    count, sources = values.shape[:2]
    index = torch.arange(count, device=batch.target.device) * sources + batch.target
    return gather_rows(values.flatten(0, 1), index)


def combine_preferences(preference: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """R [N] = sum_j M[j] P[n,j] and R / sum_j M; weights [J], or [N, J] for rows of several targets."""
    score = (preference * weights).sum(-1)
    return score, score / weights.sum(-1)
