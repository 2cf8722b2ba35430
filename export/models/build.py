"""Makes an untrained model of a kind for the rows it is to learn from."""

from collections.abc import Callable

from export.models.base import TorchModel
from export.models.logistic import Logistic
from export.models.past_count import PastCount
from export.models.pooled import Pooled
from export.models.popularity import Popularity
from export.models.preference_transfer import PreferenceTransfer
from export.models.shared_bottom import SharedBottom
from export.models.star import Star
from export.rows.reader import RowSource
from export.training.config import TrainingConfig


def _preference_transfer(source: RowSource, config: TrainingConfig) -> TorchModel:
    return PreferenceTransfer(source.tensors, config.hidden, config.hidden_g, config.dropout, config.members)


def _scenarios(source: RowSource) -> int:
    return int((source.rows_per_target > 0).sum())


TORCH_KINDS: dict[str, Callable[[RowSource, TrainingConfig], TorchModel]] = {
    "popularity": lambda source, _: Popularity(source.tensors),
    "past_count": lambda source, _: PastCount(source.tensors),
    "logistic": lambda source, _: Logistic(source.tensors),
    "shared_bottom": lambda source, config: SharedBottom(source.tensors, config.hidden, _scenarios(source)),
    "star": lambda source, config: Star(source.tensors, config.hidden, _scenarios(source)),
    "pooled": lambda source, config: Pooled(source.tensors, config.hidden, config.dropout),
    "affine": _preference_transfer,
    "neural": _preference_transfer,
}
"""The kinds that are torch modules."""
