"""What learned vectors say of candidates: by hand, and whatever else is asked at the same time."""

from dataclasses import replace

import numpy as np
import pytest

from export.rows.requests import LabelledRequests, read_feature_rows
from services.features.config import DAY_S, FeatureConfig
from services.features.encode import Tensors, encode, tensor_names
from services.features.hashing import facet_keys, key64
from services.features.item_vectors import NAMES, ItemVectors, no_vectors, vector_names
from services.features.schema import Schema, build_schema
from services.store.memory import MemoryRowStore
from tests.unit.features.conftest import START_S
from tests.unit.features.test_opinions import ENCODER, Said, folded

NAN = float("nan")
OPINIONS = build_schema(FeatureConfig(text_dims=4, category_levels=1, item_vectors=2, liked_from={"rating": 4.0}))
ENGAGEMENT = build_schema(FeatureConfig(text_dims=4, category_levels=1, item_vectors=2))
RATED: list[Said] = [("u", "s", "a", "rating", 0.0, 5.0), ("u", "s", "b", "rating", 1.0, 1.0)]
CLICKED: list[Said] = [("u", "s", "a", "click", 0.0, NAN), ("u", "s", "a", "click", 0.0, NAN)]


def vectors_for(schema: Schema) -> ItemVectors:
    """Items a and b have vectors and biases; c has none."""
    config = schema.config
    key = np.array([key64("a"), key64("b")])
    order = np.argsort(key)
    return replace(
        no_vectors(config),
        key=key[order],
        vector=np.array([[1.0, 0.0, 0.5], [0.0, 2.0, -0.5]], np.float32)[order],
        users=np.array([3.0, 1.0], np.float32)[order],
        facet_key=np.sort(facet_keys(("b",), "", 1)[:1]),
        facet_vector=np.array([[0.0, 3.0, 0.25]], np.float32),
        text_vector=np.array([[0.0] * 3] * 2 + [[1.0, 0.0, 0.0]] + [[0.0] * 3] * 2, np.float32),
        everything=np.zeros((2, 2)) if config.opinion_types else np.diag([1.0, 4.0]),
        ridge=np.array([2.0, 1.0]),
        gain=np.array([4.0]),
        value=np.array([[3.0, 2.0]])[: len(config.opinion_types)],
    )


def asked(schema: Schema, store: MemoryRowStore, user: str, items: str, vectors: list[ItemVectors]) -> Tensors:
    count = len(items)

    def repeat(value: str) -> np.ndarray:
        return np.full(count, value, object)

    requests = LabelledRequests(
        *(repeat("r"), repeat(user), repeat("s"), np.array(list(items), object)),
        label=np.zeros(count, np.int64),
        split=repeat(""),
        time_s=np.full(count, START_S + 10 * DAY_S),
        context=np.zeros((count, 0)),
    )
    return encode(schema, read_feature_rows(store, schema, ENCODER, ["s"], requests), vectors=vectors)


def columns(schema: Schema, tensors: Tensors) -> dict[str, list[float]]:
    first = tensor_names(schema)["item"].index("vector_score")
    found = tensors.item[:, first : first + len(NAMES)]
    return {name: [round(float(value), 5) for value in found[:, place]] for place, name in enumerate(NAMES)}


def test_opinions_by_hand() -> None:
    """Values are (5 - 3) / 2 and (1 - 3) / 2; less the items' biases .5 and -.5; the mean of the rest, shrunk, is 0."""
    found = columns(OPINIONS, asked(OPINIONS, folded(OPINIONS, RATED), "u", "abc", [vectors_for(OPINIONS)]))
    # Rest .5 and -.5: u = (.5 * 1 / (1 + 2), -.5 * 2 / (4 + 2)) = (1/6, -1/6); c has text (1, 0) and category (0, 3).
    assert found["user_bias"] == [0.0] * 3
    assert found["item_bias"] == [0.5, -0.5, 0.25]
    assert found["score"] == pytest.approx([0.5 + 1 / 6, -0.5 - 2 / 6, 0.25 + 1 / 6 - 3 / 6], abs=1e-5)
    assert found["similarity"] == pytest.approx([0.5**0.5, -(0.5**0.5), (1 - 3) / 20**0.5], abs=1e-5)
    assert (found["learned"], found["users"]) == ([1.0, 1.0, 0.0], pytest.approx([np.log(4), np.log(2), 0.0], abs=1e-5))


def test_a_strict_user_has_a_low_bias() -> None:
    """A rating of 1 of an item that others like: (-1 - .5) / (1 + 1)."""
    strict: list[Said] = [("u", "s", "a", "rating", 0.0, 1.0)]
    found = columns(OPINIONS, asked(OPINIONS, folded(OPINIONS, strict), "u", "a", [vectors_for(OPINIONS)]))
    assert found["user_bias"] == [-0.75]


def test_engagement_by_hand() -> None:
    """Confidence 1 + 4 log(1 + count): (1 + g) / (2 + 1 + g) along the first axis, for two decayed clicks."""
    found = columns(ENGAGEMENT, asked(ENGAGEMENT, folded(ENGAGEMENT, CLICKED), "u", "ab", [vectors_for(ENGAGEMENT)]))
    gain = 4.0 * np.log1p(2 * 2 ** (-10 / 30))
    assert found["score"] == pytest.approx([0.5 + (1 + gain) / (3 + gain), -0.5], abs=1e-5)


@pytest.mark.parametrize("schema", [OPINIONS, ENGAGEMENT])
def test_of_a_new_user_the_items_alone_speak(schema: Schema) -> None:
    store = folded(schema, RATED if schema is OPINIONS else CLICKED)
    found = columns(schema, asked(schema, store, "nobody", "ab", [vectors_for(schema)]))
    assert (found["score"], found["similarity"], found["user_bias"]) == ([0.5, -0.5], [0.0, 0.0], [0.0, 0.0])


def test_without_vectors_the_columns_are_zeros_and_without_dimensions_there_are_none() -> None:
    store = folded(OPINIONS, RATED)
    found = columns(OPINIONS, asked(OPINIONS, store, "u", "abc", []))
    assert all(not any(values) for values in found.values())
    assert () == vector_names(FeatureConfig(item_vectors=0))
    without = build_schema(FeatureConfig(text_dims=4, category_levels=1, item_vectors=0))
    tensors = asked(without, folded(without, CLICKED), "u", "abc", [vectors_for(ENGAGEMENT)])
    assert tensors.item.shape[1] == len(tensor_names(without)["item"])


def test_a_candidate_has_the_same_values_to_the_bit_whatever_the_others() -> None:
    store, vectors = folded(OPINIONS, RATED), [vectors_for(OPINIONS)]
    together = asked(OPINIONS, store, "u", "abc", vectors).item
    for place, item in enumerate("abc"):
        np.testing.assert_array_equal(together[place], asked(OPINIONS, store, "u", item, vectors).item[0])


@pytest.mark.parametrize("seed", range(4))
def test_what_content_says_is_the_sum_over_text_and_facets(seed: int) -> None:
    """As a sum in double precision to 1e-6; the same to the bit whichever items are beside an item."""
    random = np.random.default_rng(seed)
    items, text_dims, dims, facets = int(random.integers(1, 200)), 64, 16, 3
    vectors = replace(
        no_vectors(FeatureConfig(item_vectors=dims)),
        facet_key=np.sort(random.choice(np.arange(1000), 40, replace=False)),
        facet_vector=random.normal(size=(40, dims + 1)).astype(np.float32),
        text_vector=random.normal(size=(text_dims + 1, dims + 1)).astype(np.float32),
    )
    text = random.normal(scale=0.1, size=(items, text_dims)).astype(np.float16)
    facet_key, facet = random.choice(np.arange(1000), 60), random.integers(0, 60, (items, facets))

    found = vectors.of_content(text, facet_key, facet)

    expected = text.astype(float) @ vectors.text_vector[:-1] + vectors.text_vector[-1].astype(float)
    known = dict(zip(vectors.facet_key.tolist(), vectors.facet_vector.astype(float), strict=True))
    for item in range(items):
        expected[item] += sum(known.get(key, np.zeros(dims + 1)) for key in facet_key[facet[item]].tolist())
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=2e-6)
    for chosen in (slice(0, 1), slice(items // 2, None)):
        alone = vectors.of_content(text[chosen], facet_key, facet[chosen])
        np.testing.assert_array_equal(found[chosen], alone)
