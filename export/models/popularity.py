"""Kind `popularity`: the item's engagement over all users, decayed with the longest half-life."""

from collections.abc import Mapping, Sequence

from torch import Tensor

from export.models.config import TrainingConfig
from export.models.engagement import Engagement, longest_half_life
from export.models.kind import Kind


class Popularity(Engagement):
    """Ranks by log(1 + decayed engagement) of the item.

    Args:
        tensors: feature names per tensor.
    """

    def __init__(self, tensors: Mapping[str, Sequence[str]]) -> None:
        super().__init__(tensors)
        self._popularity = longest_half_life(tensors["item"], "item_engagement_")

    def value(self, item: Tensor) -> Tensor:
        """Popularity [N]."""
        return item[..., self._popularity]


KIND = Kind(
    name="popularity",
    title="Popularity",
    description="the item's engagement over all users; the same order for every user",
    config=TrainingConfig(hidden=(), learning_rate=5e-2, epochs=3),
    build=lambda source, _: Popularity(source.tensors),
)
