"""What the values of events say: sums of opinions in rows, and the features made of them."""

from dataclasses import replace

import numpy as np
import pytest

from export.replay.replay import ACTIVITY_GROUPS
from export.rows.requests import LabelledRequests, read_feature_rows
from services.features.activity import compute_deltas
from services.features.catalogue import ItemState
from services.features.config import DAY_S, FeatureConfig
from services.features.encode import encode, tensor_names
from services.features.event_types import EVENT_TYPES
from services.features.layout import describe_layout, find_conflicts
from services.features.opinions import described_width, opinion_names, user_opinion_names, user_opinion_width
from services.features.recognition import recognition_features, recognition_names
from services.features.rows import Row
from services.features.schema import Schema, build_schema
from services.store.folding import attach_items, fold_activity, fold_states, fold_users
from services.store.memory import MemoryRowStore
from services.store.protocol import read_block
from tests.unit.features.conftest import START_S, make_events

ENCODER = 7
LIKED_FROM = {"rating": 4.0, "comment": 3.0, "click": 30.0}

Said = tuple[str, str, str, str, float, float]
"""User, scenario, item, event type, day and value (NaN: none)."""


def schema_of(**liked_from: float) -> Schema:
    return build_schema(FeatureConfig(text_dims=4, category_levels=1, liked_from=liked_from))


def folded(schema: Schema, said: list[Said]) -> MemoryRowStore:
    """The store after events of items a and b (films) and c (a book), one batch each."""
    store = MemoryRowStore()
    states = [ItemState(START_S, name, categories=(kind,)) for name, kind in zip("abc", ("f", "f", "b"), strict=True)]
    items = [(name,) for name in "abc"]
    fold_states(store, schema, schema["item"], items, states, [(1, 0, n) for n in range(3)], np.eye(4)[:3], ENCODER)
    for number, (user, scenario, item, kind, day, value) in enumerate(said):
        event = replace(
            make_events(schema, 1, seed=number),
            user=np.array([user], object),
            scenario=np.array([scenario], object),
            item=np.array([item], object),
            type=np.array([EVENT_TYPES.index(kind)]),
            time_s=np.array([START_S + day * DAY_S]),
            value=np.array([value]),
            position=np.array([[1, 0, number]]),
            text_vector=np.array([[0.0, 0.0, 0.0, 1.0 if kind == "comment" else 0.0]]),
        )
        event = attach_items(store, schema, event, ENCODER)
        flags = fold_users(store, schema, event, ENCODER)
        for view, ids in ACTIVITY_GROUPS.items():
            deltas = compute_deltas(schema, event, flags, *ids)
            fold_activity(store, schema, view, deltas, event.position.repeat(len(deltas), axis=0))
    return store


def row_of(store: MemoryRowStore, view: str, *key: str) -> Row:
    return store.rows[view][key]


def ever(row: Row, of_type: int = 0) -> list[float]:
    """Number, likes and sum of values over the lifetime, of one type."""
    return [round(float(value), 6) for value in row["opinions"].reshape(-1, 3, 4)[of_type, :, -1]]


def features_of(
    schema: Schema, store: MemoryRowStore, user: str, item: str, day: float = 10.0
) -> dict[str, dict[str, float]]:
    """Features of a request in scenario s, by tensor and name; of the first scenario where there are several."""
    requests = LabelledRequests(
        *(np.array([value], object) for value in ("r", user, "s", item)),
        label=np.zeros(1, np.int64),
        split=np.array([""], object),
        time_s=np.array([START_S + day * DAY_S]),
        context=np.zeros((1, 0)),
    )
    made = encode(schema, read_feature_rows(store, schema, ENCODER, ["s", "t"], requests))
    names = tensor_names(schema)
    first = {"item": made.item[0], "cross": made.cross[0, 0], "behavior": made.behavior[0, 0]}
    return {name: dict(zip(names[name], values.tolist(), strict=True)) for name, values in first.items()}


@pytest.mark.parametrize(("kind", "value"), [("rating", 1.0), ("comment", 2.0), ("click", 5.0)])
def test_a_low_value_is_no_engagement(kind: str, value: float) -> None:
    """Below the threshold neither language nor engaged items nor popularity move; the opinion counts, and the time."""
    schema = schema_of(**LIKED_FROM)
    store = folded(schema, [("u", "s", "a", kind, 0.0, value)])
    user, item = row_of(store, "user", "u"), row_of(store, "item_activity", "a")
    assert not user["language"].any()
    assert not len(user["item_key"])
    assert not len(user["facet_key"])
    for row in (user, item, row_of(store, "user_scenario", "u", "s"), row_of(store, "scenario_activity", "s")):
        assert not row["counts"].any()
        assert [1.0, 0.0, value] == ever(row, schema.config.opinion_names.index(kind))
        assert START_S == row["time_s"]
    assert 0.0 == item["unique_users"]
    assert not row_of(store, "scenario_activity", "s")["hours"].any()


@pytest.mark.parametrize(("kind", "value"), [("rating", 4.0), ("comment", 5.0), ("click", 30.0), ("click", np.nan)])
def test_a_value_from_the_threshold_on_is_engagement_as_before(kind: str, value: float) -> None:
    """What is liked, or carries no opinion, counts as it does without thresholds."""
    said: list[Said] = [("u", "s", "a", kind, 0.0, value)]
    judged, plain = (folded(schema, said) for schema in (schema_of(**LIKED_FROM), schema_of()))
    for view in ("user", "user_scenario", "item_activity", "facet_activity", "item_scenario_activity"):
        for key, row in plain.rows[view].items():
            for name in set(row) - {"schema"}:
                np.testing.assert_array_equal(row[name], judged.rows[view][key][name], err_msg=f"{view}.{name}")
    number = 0.0 if np.isnan(value) else 1.0
    of_type = judged_type(kind)
    assert [number, number, np.nan_to_num(value)] == ever(row_of(judged, "item_activity", "a"), of_type)


def judged_type(kind: str) -> int:
    return schema_of(**LIKED_FROM).config.opinion_names.index(kind)


def test_values_without_a_threshold_have_no_columns() -> None:
    """Rows, tensors and deltas are those of a schema without opinions."""
    plain = schema_of()
    assert not [feature.name for view in plain.views for feature in view.features if "opinion" in feature.name]
    assert not [name for names in tensor_names(plain).values() for name in names if "opinion" in name]
    assert 0 == plain.config.opinion_width


RATINGS: list[Said] = [
    ("ann", "s", "a", "rating", 0.0, 5.0),
    ("ann", "s", "b", "rating", 1.0, 2.0),
    ("bob", "t", "a", "rating", 2.0, 4.0),
    ("bob", "t", "c", "rating", 3.0, 1.0),
]


@pytest.mark.parametrize(
    ("view", "key", "expected"),
    [
        ("user", ("ann",), [2.0, 1.0, 7.0]),
        ("user_scenario", ("bob", "t"), [2.0, 1.0, 5.0]),
        ("item_activity", ("a",), [2.0, 2.0, 9.0]),
        ("item_scenario_activity", ("a", "t"), [1.0, 1.0, 4.0]),
        ("scenario_activity", ("s",), [2.0, 1.0, 7.0]),
    ],
)
def test_rows_sum_opinions_over_their_lifetime(view: str, key: tuple[str, ...], expected: list[float]) -> None:
    """Number, likes and values per user, item and scenario, and per pair of them."""
    assert expected == ever(row_of(folded(schema_of(rating=4.0), RATINGS), view, *key))


def test_facets_and_tables_sum_opinions() -> None:
    """Per category over all users; per user and item, and per user and category."""
    schema = schema_of(rating=4.0)
    store = folded(schema, RATINGS)
    by_facet = {key: ever(row) for key, row in store.rows["facet_activity"].items()}
    assert [[1.0, 0.0, 1.0], [3.0, 2.0, 11.0]] == sorted(by_facet.values())
    ann = row_of(store, "user", "ann")
    facets = ann["opinion_facet_value"].reshape(-1, 3, 2)
    assert [[2.0, 1.0, 7.0]] == facets[:, :, 1].tolist()
    items = ann["opinion_item_value"].reshape(-1, 3, 2)[:, :, 1].tolist()
    assert [[1.0, 0.0, 2.0], [1.0, 1.0, 5.0]] == sorted(items)


def test_opinions_decay_under_every_half_life() -> None:
    """A like of ten days ago counts 2 ** (-10 days / half-life), and 1 over the lifetime."""
    schema = schema_of(rating=4.0)
    item = row_of(folded(schema, [RATINGS[0], ("bob", "s", "a", "rating", 10.0, 1.0)]), "item_activity", "a")
    remaining = [2.0 ** (-10 * DAY_S / half_life) for half_life in schema.config.half_lives_s] + [1.0]
    expected = [[1 + share for share in remaining], remaining, [1 + 5 * share for share in remaining]]
    np.testing.assert_allclose(item["opinions"].reshape(3, 4), expected, rtol=1e-12)


def test_no_one_user_makes_an_item_unpopular() -> None:
    """A hundred dislikes of one user weigh less than those of twenty users."""
    schema = schema_of(rating=4.0)
    one = folded(schema, [("u", "s", "a", "rating", 0.0, 1.0)] * 100)
    many = folded(schema, [(f"u{n}", "s", "a", "rating", 0.0, 1.0) for n in range(20)])
    assert ever(row_of(one, "item_activity", "a"))[0] < 15
    assert 20.0 == ever(row_of(many, "item_activity", "a"))[0]
    assert 100.0 == ever(row_of(one, "user", "u"))[0]


def test_features_are_shares_above_what_is_expected() -> None:
    """Item and user against the population, a user's category against the user, a scenario's item against the item.

    Two expected opinions are added to those observed.
    """
    schema = schema_of(rating=4.0)
    found = features_of(schema, folded(schema, RATINGS), "ann", "a")
    population, mean = (2 + 1) / (4 + 2), (12 + 2 * 4) / (4 + 2)
    of_item, of_user = ((likes + 2 * population) / (2 + 2) for likes in (2, 1))
    assert of_item - population == pytest.approx(found["item"]["item_rating_liked_share_ever"])
    assert of_user - population == pytest.approx(found["behavior"]["all_rating_liked_share_ever"], abs=1e-7)
    assert (1 + 2 * of_user) / 4 - of_user == pytest.approx(
        found["item"]["user_category_0_rating_liked_share_ever"], abs=1e-7
    )
    assert (1 + 2 * of_item) / 3 - of_item == pytest.approx(found["cross"]["item_scenario_rating_liked_share_ever"])
    assert np.log1p(2.0) == pytest.approx(found["item"]["item_rating_opinions_ever"])
    assert np.log1p((9 - 2 * mean) / 4) == pytest.approx(found["item"]["item_rating_value"])


def test_planted_ratings_show_in_the_features() -> None:
    """An item that all like is above one that all dislike, for every user; as engagement they are alike today."""
    schema = schema_of(rating=4.0)
    said: list[Said] = [
        (f"u{n}", "s", item, "rating", n / 10, value) for n in range(20) for item, value in (("a", 5.0), ("b", 1.0))
    ]
    store = folded(schema, said)
    good, bad = (features_of(schema, store, "new", item)["item"] for item in "ab")
    assert good["item_rating_liked_share_ever"] > 0.4
    assert bad["item_rating_liked_share_ever"] < -0.4
    assert bad["item_engagement_2.592e+06s"] == 0 < good["item_engagement_2.592e+06s"]


def test_dislikes_are_events_for_the_recogniser() -> None:
    """A user is where the user acts, whatever the user thinks of the items."""
    schema = schema_of(rating=4.0)
    store = folded(schema, [("u", "s", "a", "rating", 0.0, 1.0), ("u", "s", "b", "rating", 0.0, 5.0)])
    rows = read_block(store, schema["user_scenario"], [("u", "s")])
    activity = read_block(store, schema["scenario_activity"], [("s",)])
    made = recognition_features(schema.config, np.array([START_S]), rows, activity, np.zeros((1, 0)))
    names = recognition_names(schema.config, ["s"])
    assert 2.0 == made[0, names.index("own_events_2.592e+06s")]


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ({}, {"rating": 4.0}, ""),
        ({"click": 30.0}, {"click": 30.0, "rating": 4.0}, "opinion_item_value"),
        ({"rating": 4.0}, {"rating": 3.0}, "rows hold rating from 4, now rating from 3"),
    ],
)
def test_stored_rows_keep_their_threshold(old: dict[str, float], new: dict[str, float], reason: str) -> None:
    """A first threshold may be declared over stored rows; likes from another threshold are not the same sums."""
    found = "; ".join(find_conflicts(*(describe_layout(schema_of(**liked_from)) for liked_from in (old, new))))
    assert reason in found
    assert bool(reason) == bool(found)


@pytest.mark.parametrize("liked_from", [{"purchase": 1.0}, {"query": 1.0}, {"stars": 1.0}, {"rating": np.nan}])
def test_a_threshold_is_a_finite_number_for_values_that_are_opinions(liked_from: dict[str, float]) -> None:
    """The price of a purchase is no opinion."""
    with pytest.raises(ValueError, match=r"features\.liked_from"):
        FeatureConfig(liked_from=liked_from)


@pytest.mark.parametrize("liked_from", [{}, LIKED_FROM])
def test_the_widths_of_opinions_are_the_numbers_of_their_names(liked_from: dict[str, float]) -> None:
    """None where no values are opinions."""
    config = schema_of(**liked_from).config
    assert len(opinion_names(config, config.horizons_s)) == described_width(config, config.horizons_s)
    assert len(user_opinion_names(config)) == user_opinion_width(config)
