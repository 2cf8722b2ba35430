"""Popularity that one user cannot make: the weight of repeated engagement."""

from dataclasses import replace

import numpy as np
import pytest

from services.features import activity
from services.features.config import DAY_S
from services.features.event_types import EVENT_TYPES
from services.features.events import Events
from services.features.item_columns import precompute_activity
from services.features.population import population_features
from services.features.schema import Schema
from services.store.folding import attach_items, fold_activity, fold_users
from services.store.memory import MemoryRowStore
from services.store.protocol import read_block
from tests.unit.features.conftest import START_S, make_events

ENCODER = 7


def clicks(schema: Schema, users: list[str], items: list[str], times_s: np.ndarray, first: int = 0) -> Events:
    """Clicks at rising offsets."""
    size = len(users)
    return replace(
        make_events(schema, size, seed=first),
        user=np.array(users, object),
        item=np.array(items, object),
        type=np.full(size, EVENT_TYPES.index("click")),
        time_s=times_s,
        position=np.column_stack([np.ones(size), np.zeros(size), np.arange(first, first + size)]).astype(np.int64),
        text_vector=np.zeros((size, schema.config.text_dims)),
    )


def fold(store: MemoryRowStore, schema: Schema, events: Events) -> None:
    """Fold a batch into the rows of users and items, as consumers and replays do."""
    events = attach_items(store, schema, events, ENCODER)
    flags = fold_users(store, schema, events, ENCODER)
    for view, ids in (("item_activity", ("item",)), ("scenario_activity", ("scenario",))):
        deltas = activity.compute_deltas(schema, events, flags, *ids)
        fold_activity(store, schema, view, deltas, np.tile(events.position[-1], (len(deltas), 1)))


def engagement(store: MemoryRowStore, schema: Schema, items: list[str], now_s: float) -> np.ndarray:
    """Decayed engagement of all users with the items under the longest half-life."""
    block = read_block(store, schema["item_activity"], [(item,) for item in items])
    columns, _ = population_features(schema.config, now_s, precompute_activity(schema.config, block))
    return np.expm1(columns[:, len(schema.config.half_lives_s) - 1])


@pytest.mark.parametrize("batch", [1000, 30_000])
def test_one_users_thirty_thousand_clicks_make_no_item_popular(schema: Schema, batch: int) -> None:
    """They are worth 36 users; fifty users who click once are worth fifty. The user's own row counts them in full."""
    store, times = MemoryRowStore(), START_S + np.arange(30_000) / 1000
    for begin in range(0, 30_000, batch):
        fold(store, schema, clicks(schema, ["eve"] * batch, ["spam"] * batch, times[begin : begin + batch], begin))
    many = [f"u{number}" for number in range(50)]
    fold(store, schema, clicks(schema, many, ["liked"] * 50, np.full(50, START_S + 30), 30_000))
    spam, liked = engagement(store, schema, ["spam", "liked"], START_S + 60)
    assert 4 * np.log(1 + 30_000 / 4) == pytest.approx(spam, rel=0.03)
    assert 50 == pytest.approx(liked, rel=0.001)
    own = store.rows["user"][("eve",)]["counts"].reshape(-1, len(schema.config.half_lives_s))
    assert 30_000 == pytest.approx(own[EVENT_TYPES.index("click"), -1], rel=0.001)
    of_scenarios = sum(row["counts"].reshape(own.shape)[1, -1] for row in store.rows["scenario_activity"].values())
    assert 30_050 == pytest.approx(of_scenarios, rel=0.001)


def test_what_was_long_ago_weighs_again(schema: Schema) -> None:
    """A weekly purchase counts nearly in full; engagement half a year old has no say."""
    store = MemoryRowStore()
    times = START_S + np.array([0.0, 7.0, 14.0, 200.0]) * DAY_S
    earlier = [0.0, 2 ** (-7 / 30), 2 ** (-14 / 30) + 2 ** (-7 / 30), 0.03]
    total = 0.0
    for number, time_s in enumerate(times):
        fold(store, schema, clicks(schema, ["ann"], ["tea"], np.array([time_s]), number))
        before = total * 2 ** (-(time_s - times[number - 1]) / DAY_S / 30) if number else 0.0
        total = float(engagement(store, schema, ["tea"], time_s)[0])
        assert 1 / (1 + earlier[number] / 4) == pytest.approx(total - before, rel=0.05)


def test_impressions_count_in_full(schema: Schema) -> None:
    """They are no engagement."""
    store, size = MemoryRowStore(), 40
    shown = clicks(schema, ["ann"] * size, ["tea"] * size, START_S + np.arange(size))
    fold(store, schema, replace(shown, type=np.zeros(size, np.int64)))
    counts = store.rows["item_activity"][("tea",)]["counts"].reshape(-1, len(schema.config.half_lives_s))
    assert size == pytest.approx(counts[0, -1], rel=0.001)
