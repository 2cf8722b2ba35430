"""Kind `popularity`: the item's engagement by everybody, decayed with the longest half-life."""

from collections.abc import Mapping, Sequence

from torch import Tensor

from export.models.engagement import Engagement, longest


class Popularity(Engagement):
    """Ranks by log(1 + decayed engagement) of the item.

    Args:
        tensors: feature names per tensor.
    """

    def __init__(self, tensors: Mapping[str, Sequence[str]]) -> None:
        super().__init__(tensors)
        self._popularity = longest(tensors["item"], "item_engagement_")

    def value(self, item: Tensor) -> Tensor:
        """Popularity [N]."""
        return item[..., self._popularity]
