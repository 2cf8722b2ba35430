"""Features of rhythm, exposure and price, from a history small enough to compute by hand."""

from dataclasses import replace

import numpy as np
import pytest

from export.replay.replay import ACTIVITY_GROUPS
from export.rows.requests import LabelledRequests, read_feature_rows
from services.features.activity import compute_deltas
from services.features.catalogue import ItemState
from services.features.config import DAY_S
from services.features.encode import encode, tensor_names
from services.features.event_types import EVENT_TYPES
from services.features.events import Events
from services.features.schema import Schema
from services.store.folding import attach_items, fold_activity, fold_states, fold_users
from services.store.memory import MemoryRowStore
from tests.unit.features.conftest import START_S, make_events

ENCODER = 7
NOW_S = START_S + 40 * DAY_S
PURCHASES = [("ann", 0, 2.0), ("bob", 5, 4.0), ("ann", 10, 3.0), ("ann", 30, 3.0)]
"""User, day and price of purchases of one item."""
IMPRESSION_DAYS = [1, 2, 3]
"""Days of the item's impressions to ann."""


def decay(days: float) -> float:
    """The remaining share under the longest half-life, 30 days."""
    return 2.0 ** (-days / 30)


def share(earlier: float) -> float:
    """Weight of an engagement in popularity after `earlier` engagement of the same user."""
    return 2.0 ** (-round(8 * np.log2(1 + earlier / 4)) / 8)


SECOND, THIRD = share(decay(10)), share(decay(30) + decay(20))
"""Of ann's purchases."""


@pytest.fixture
def item(schema: Schema) -> dict[str, float]:
    """The item tensor of ann's request for the item, by name."""
    store = MemoryRowStore()
    state = ItemState(START_S, "tea", categories=("drinks", "tea"), brand="b")
    fold_states(store, schema, schema["item"], [("i0",)], [state], [(1, 0, 0)], np.zeros((1, 4)), ENCODER)
    fold(store, schema)
    count = np.zeros((1, 1))
    requests = LabelledRequests(
        *(np.array([value], object) for value in ("r", "ann", "s0", "i0")),
        label=np.zeros(1, np.int64),
        split=np.array([""], object),
        time_s=np.array([NOW_S]),
        context=count,
    )
    made = encode(schema, read_feature_rows(store, schema, ENCODER, ["s0"], requests))
    return dict(zip(tensor_names(schema)["item"], made.item[0].tolist(), strict=True))


def fold(store: MemoryRowStore, schema: Schema) -> None:
    """The purchases and impressions, one batch each."""
    bought = sorted(PURCHASES, key=lambda purchase: purchase[1])
    rows = [(user, day, "purchase", price) for user, day, price in bought]
    rows += [("ann", day, "impression", np.nan) for day in IMPRESSION_DAYS]
    for number, (user, day, kind, price) in enumerate(rows):
        event: Events = replace(
            make_events(schema, 1, seed=number),
            user=np.array([user], object),
            scenario=np.array(["s0"], object),
            item=np.array(["i0"], object),
            type=np.array([EVENT_TYPES.index(kind)]),
            time_s=np.array([START_S + day * DAY_S]),
            value=np.array([price]),
            position=np.array([[1, 0, number]]),
            text_vector=np.zeros((1, 4)),
        )
        event = attach_items(store, schema, event, ENCODER)
        flags = fold_users(store, schema, event, ENCODER)
        for view, ids in ACTIVITY_GROUPS.items():
            deltas = compute_deltas(schema, event, flags, *ids)
            fold_activity(store, schema, view, deltas, np.tile([1, 0, number], (len(deltas), 1)))


def test_repeat_engagement_is_counted_apart_from_unique_users(item: dict[str, float]) -> None:
    """Two unique users; ann's second and third purchase are repeat engagements with the item and its category."""
    returns = SECOND * decay(30) + THIRD * decay(10)
    for name in ("item", "category_0", "category_1", "brand"):
        assert np.log1p(2) == pytest.approx(item[f"{name}_unique_users"], rel=1e-5)
        assert np.log1p(returns) == pytest.approx(item[f"{name}_repeat_engagement_2.592e+06s"], rel=1e-5)


def test_returns_due_is_time_since_times_the_rate_of_return(item: dict[str, float]) -> None:
    """The rate is decayed repeat engagements over decayed time at risk; the prior is a quarter per half-life."""
    returns, firsts = SECOND * decay(30) + THIRD * decay(10), decay(40) + decay(35)
    rate = (returns + 0.25) / (30 / np.log(2) * (2 - firsts) + 30)
    assert np.log1p(rate) == pytest.approx(item["item_returns_per_day"], rel=1e-4)
    assert np.log1p(10 * rate) == pytest.approx(item["user_item_returns_due"], rel=1e-4)
    assert np.log1p(10 * rate) == pytest.approx(item["user_brand_returns_due"], rel=1e-4)
    assert np.log1p(40) == pytest.approx(item["user_item_tenure_days"], rel=1e-5)


def test_prices_are_compared_with_the_population_mean_and_the_users_mean(item: dict[str, float]) -> None:
    """Logs of the last price against decayed means: the population's for the item and its facets, ann's for facets."""
    days, prices = np.array([40, 35, 30, 10]), np.log1p([2.0, 4.0, 3.0, 3.0])
    weights = 2.0 ** (-days / 30)
    shares = weights * [1, 1, SECOND, THIRD]
    usual = shares @ prices / shares.sum()
    own = [0, 2, 3]
    habit = weights[own] @ prices[own] / weights[own].sum()
    assert np.log1p(3) - usual == pytest.approx(item["price_to_usual"], abs=1e-5)
    assert np.log1p(3) - usual == pytest.approx(item["price_to_category_0"], abs=1e-5)
    assert np.log1p(3) - habit == pytest.approx(item["user_category_1_price_to_habit"], abs=1e-5)


def test_impressions_are_counted_per_facet(item: dict[str, float]) -> None:
    """Impressions of a facet's items, decayed; they are not engagement."""
    shown = sum(decay(40 - day) for day in IMPRESSION_DAYS)
    assert np.log1p(shown) == pytest.approx(item["user_category_0_impression"], rel=1e-5)
    assert np.log1p(10) == pytest.approx(item["user_category_0_age_days"], rel=1e-5)
