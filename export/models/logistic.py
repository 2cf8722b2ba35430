"""Kind `logistic`: logistic regression on the features of the target scenario."""

from collections.abc import Mapping, Sequence

from export.models.pooled import Pooled


class Logistic(Pooled):
    """One affine layer.

    Args:
        tensors: feature names per tensor.
    """

    def __init__(self, tensors: Mapping[str, Sequence[str]]) -> None:
        super().__init__(tensors, hidden=())
