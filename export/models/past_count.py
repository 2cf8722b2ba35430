"""Kind `past_count`: the user's own past engagement with the item over all scenarios; popularity breaks ties."""

from collections.abc import Mapping, Sequence

from torch import Tensor

from export.models.config import TrainingConfig
from export.models.engagement import Engagement, longest_half_life
from export.models.kind import Kind

TIE_BREAK = 0.001
"""Weight of the item's popularity beside the user's own engagement, both as logarithms of counts."""


class PastCount(Engagement):
    """Ranks by log(1 + decayed engagement) of user with item.

    Args:
        tensors: feature names per tensor.
    """

    def __init__(self, tensors: Mapping[str, Sequence[str]]) -> None:
        super().__init__(tensors)
        self._own, self._popularity = (
            longest_half_life(tensors["item"], name) for name in ("user_item_", "item_engagement_")
        )

    def value(self, item: Tensor) -> Tensor:
        """Own engagement [N] and a little popularity."""
        return item[..., self._own] + TIE_BREAK * item[..., self._popularity]


KIND = Kind(
    name="past_count",
    title="Past count",
    description="how often this user engaged with this item before",
    config=TrainingConfig(hidden=(), learning_rate=5e-2, epochs=3),
    build=lambda source, _: PastCount(source.tensors),
)
