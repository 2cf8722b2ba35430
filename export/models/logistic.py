"""Kind `logistic`: logistic regression on the features of the target scenario."""

from collections.abc import Mapping, Sequence

from export.models.config import TrainingConfig
from export.models.kind import Kind
from export.models.pooled import Pooled


class Logistic(Pooled):
    """One affine layer.

    Args:
        tensors: feature names per tensor.
    """

    def __init__(self, tensors: Mapping[str, Sequence[str]]) -> None:
        super().__init__(tensors, hidden=())


KIND = Kind(
    name="logistic",
    title="Logistic regression",
    description="a weighted sum of all features",
    config=TrainingConfig(hidden=(), learning_rate=2e-2),
    build=lambda source, _: Logistic(source.tensors),
)
