"""Kinds that rank by one number."""

import pytest
import torch

from export.models.base import ModelError
from export.models.engagement import longest_half_life
from export.models.past_count import PastCount
from export.models.popularity import Popularity
from tests.unit.export.rows.synthetic_rows import TENSORS


def test_the_longest_half_life_is_found_by_number() -> None:
    """9e+05 is longer than 1000; features that are no half-lives do not count."""
    assert 2 == longest_half_life(
        ["user_item_known", "user_item_1000s", "user_item_9.5e+05s", "user_item_age_days"], "user_item_"
    )
    with pytest.raises(ModelError, match=r"no feature item_engagement_<half-life>s"):
        longest_half_life(["price"], "item_engagement_")


def test_popularity_ranks_by_engagement_of_all() -> None:
    """The preference grows with the engagement at the longest half-life."""
    item = torch.zeros(3, len(TENSORS["item"]))
    item[:, TENSORS["item"].index("item_engagement_86400s")] = torch.tensor([1.0, 3.0, 2.0])
    item[:, TENSORS["item"].index("item_engagement_3600s")] = torch.tensor([9.0, 0.0, 5.0])
    assert [0, 2, 1] == Popularity(TENSORS).value(item).argsort().tolist()


def test_past_count_ranks_by_own_engagement_and_breaks_ties_by_popularity() -> None:
    """A few engagements of the user outweigh many of others."""
    item = torch.zeros(3, len(TENSORS["item"]))
    item[:, TENSORS["item"].index("user_item_3600s")] = torch.tensor([0.1, 0.0, 0.0])
    item[:, TENSORS["item"].index("item_engagement_86400s")] = torch.tensor([0.0, 5.0, 9.0])
    assert [1, 2, 0] == PastCount(TENSORS).value(item).argsort().tolist()
