"""Encoding rows as tensors."""

from dataclasses import replace

import numpy as np
import pytest

from export.rows.requests import LabelledRequests, read_feature_rows
from services.features.catalogue import ItemState
from services.features.config import DAY_S, Attribute, FeatureConfig
from services.features.encode import Tensors, encode, tensor_names
from services.features.events import Events, engagement_weights
from services.features.feature_rows import FeatureRows
from services.features.rows import Block
from services.features.schema import Schema, build_schema
from services.ranking.cache.row_sources import UNREAD
from services.store.folding import attach_items, fold_states, fold_users
from services.store.memory import MemoryRowStore
from tests.unit.features.conftest import START_S, make_events

ENCODER = 7
SOURCES = ["s0", "s1", "s2"]
NOW_S = START_S + 61 * DAY_S


@pytest.fixture
def store(schema: Schema, events: Events) -> MemoryRowStore:
    """A store with the events folded and rows of eight items."""
    filled = MemoryRowStore()
    items = [(f"i{n}",) for n in range(8)]
    states = [ItemState(START_S, f"item {n}", "", (f"c{n % 2}", f"d{n % 4}"), f"b{n % 3}") for n in range(8)]
    vectors = np.eye(4)[np.arange(8) % 4]
    fold_states(filled, schema, schema["item"], items, states, [(1, 0, n) for n in range(8)], vectors, ENCODER)
    enriched = attach_items(filled, schema, replace(events, text_vector=np.zeros((300, 4))), ENCODER)
    fold_users(filled, schema, enriched, ENCODER)
    return filled


def rows_of(
    store: MemoryRowStore, schema: Schema, users: list[str], items: list[str], encoder: int = ENCODER
) -> FeatureRows:
    count = len(users)
    requests = LabelledRequests(
        request_id=np.array([""] * count, object),
        user=np.array(users, object),
        scenario=np.array(["s0"] * count, object),
        item=np.array(items, object),
        label=np.zeros(count, np.int64),
        split=np.array([""] * count, object),
        time_s=np.full(count, NOW_S),
        context=np.tile([a.default for a in schema.config.attributes_of("context")], (count, 1)),
    )
    return read_feature_rows(store, schema, encoder, SOURCES, requests)


def tensors(
    store: MemoryRowStore, schema: Schema, users: list[str], items: list[str], encoder: int = ENCODER
) -> Tensors:
    return encode(schema, rows_of(store, schema, users, items, encoder))


def column(schema: Schema, made: Tensors, tensor: str, name: str) -> np.ndarray:
    return getattr(made, tensor)[..., tensor_names(schema)[tensor].index(name)]


def test_what_ranking_does_not_read_changes_nothing(store: MemoryRowStore, schema: Schema) -> None:
    """The server reads users' rows without some features, replay with all of them: the tensors are the same."""
    rows = rows_of(store, schema, ["u0", "u1", "nobody"], ["i0", "i1", "nothing"])

    def without_unread(block: Block) -> Block:
        read = [feature.name for feature in block.view.without(*UNREAD[block.view.name]).features]
        ragged = {name: column for name, column in block.ragged.items() if name in read}
        return replace(block, fixed={name: block.fixed[name] for name in read if name not in ragged}, ragged=ragged)

    served = replace(rows, user=without_unread(rows.user), user_scenario=without_unread(rows.user_scenario))
    assert set(rows.user_scenario.ragged) > set(served.user_scenario.ragged)
    for expected, found in zip(vars(encode(schema, rows)).values(), vars(encode(schema, served)).values(), strict=True):
        np.testing.assert_array_equal(expected, found)


def test_shapes_follow_the_names(store: MemoryRowStore, schema: Schema) -> None:
    """The last axis of every tensor has one name per value; all values are float32 and finite."""
    made = tensors(store, schema, ["u0", "u0", "u1", "nobody"], ["i0", "i1", "i1", "nothing"])
    names = tensor_names(schema)
    shapes = {
        "scenario": (3,),
        "behavior": (3, 3),
        "language": (3, 3),
        "item": (4,),
        "item_text": (4,),
        "cross": (4, 3),
    }
    for name, shape in shapes.items():
        tensor = getattr(made, name)
        assert (*shape, len(names[name])) == tensor.shape
        assert np.float32 == tensor.dtype
        assert np.isfinite(tensor).all()


def test_one_request_is_encoded_as_in_a_batch(store: MemoryRowStore, schema: Schema) -> None:
    """The server's single request and the trainer's batch give equal tensors, to the bit."""
    users, items = ["u0", "u1", "u2", "u0"], ["i0", "i1", "i2", "i3"]
    together = tensors(store, schema, users, items)
    for number, (user, item) in enumerate(zip(users, items, strict=True)):
        alone = tensors(store, schema, [user], [item])
        np.testing.assert_array_equal(alone.cross[0], together.cross[number])
        np.testing.assert_array_equal(alone.item[0], together.item[number])


def test_matches_equal_a_plain_count(store: MemoryRowStore, schema: Schema, events: Events) -> None:
    """The decayed count of a user and an item in a scenario is the sum over its events."""
    longest = schema.config.half_lives_s[-1]
    engaged = engagement_weights(schema.config, events) > 0
    made = tensors(store, schema, ["u1"], ["i3"])
    for place, scenario in enumerate(SOURCES):
        of = engaged & (events.user == "u1") & (events.item == "i3") & (events.scenario == scenario)
        expected = np.log1p(np.exp2(-(NOW_S - events.time_s[of]) / longest).sum())
        actual = column(schema, made, "cross", f"user_scenario_item_{longest:g}s")[0, place]
        assert expected == pytest.approx(actual, rel=1e-5)


def test_category_matches_count_all_items_of_the_category(
    store: MemoryRowStore, schema: Schema, events: Events
) -> None:
    """A candidate matches by its category, for any engaged item of this category."""
    longest = schema.config.half_lives_s[-1]
    engaged = engagement_weights(schema.config, events) > 0
    even = np.isin(events.item, ["i0", "i2", "i4", "i6"]) & engaged & (events.user == "u2")
    expected = np.log1p(np.exp2(-(NOW_S - events.time_s[even]) / longest).sum())
    made = tensors(store, schema, ["u2"], ["i0"])
    assert expected == pytest.approx(column(schema, made, "item", f"user_category_0_{longest:g}s")[0], rel=1e-5)


def test_unknown_user_and_item_are_all_defaults(store: MemoryRowStore, schema: Schema) -> None:
    """Unknown users and items give zeros, but declared attributes keep their defaults."""
    made = tensors(store, schema, ["nobody"], ["nothing"])
    assert not made.language.any()
    assert not made.item_text.any()
    assert np.log1p(1.0) == pytest.approx(column(schema, made, "item", "item_size")[0])
    assert 2.0 == column(schema, made, "behavior", "context_basket")[0, 0]


def test_vectors_of_another_encoder_are_missing(store: MemoryRowStore, schema: Schema) -> None:
    """Language and text are zero when the rows were made with another encoder."""
    assert tensors(store, schema, ["u0"], ["i0"]).language.any()
    other = tensors(store, schema, ["u0"], ["i0"], encoder=ENCODER + 1)
    assert not other.language.any()
    assert not other.item_text.any()


def test_declared_attributes_become_features_without_code() -> None:
    """An attribute added in the settings is a new name in the tensors and a new fingerprint."""
    plain = build_schema(FeatureConfig(text_dims=4))
    more = build_schema(FeatureConfig(text_dims=4, attributes=(Attribute("fat", "item"), Attribute("hour", "context"))))
    assert "item_fat" in tensor_names(more)["item"]
    assert "context_hour" in tensor_names(more)["behavior"]
    assert plain.fingerprint != more.fingerprint
    assert plain.fingerprint == build_schema(FeatureConfig(text_dims=4)).fingerprint


def test_an_empty_store_is_encoded(schema: Schema) -> None:
    """Without any events."""
    made = tensors(MemoryRowStore(), schema, ["u"], ["i"])
    assert not column(schema, made, "cross", "user_scenario_item_known").any()


def test_rows_newer_than_the_request_are_not_decayed(schema: Schema) -> None:
    """A row newer than the request's time is used unchanged: decay backwards would increase its counts."""
    store = MemoryRowStore()
    events = make_events(schema, 50, users=1)
    fold_users(store, schema, replace(events, time_s=events.time_s + 365 * DAY_S), ENCODER)
    made = tensors(store, schema, ["u0"], ["i0"])
    assert made.behavior.max() < np.log1p(51)


def test_huge_attributes_stay_finite(schema: Schema) -> None:
    """An attribute beyond the range of single precision is clipped, not infinite."""
    store, state = MemoryRowStore(), ItemState(START_S, "big", attributes={"size": 1e308})
    fold_states(store, schema, schema["item"], [("i",)], [state], [(1, 0, 0)], np.zeros((1, 4)), ENCODER)
    assert np.isfinite(tensors(store, schema, ["u"], ["i"]).item).all()
