"""Vectors learned from planted tastes: what users said or did, and what contents say of items without a history."""

from dataclasses import replace

import numpy as np
import pytest

from export.vectors.content import Content, fit_content
from export.vectors.factorise import Entries, Factors, factorise
from export.vectors.interactions import Interactions
from export.vectors.learn import Learned, learn_vectors
from services.features.config import FeatureConfig
from services.features.hashing import NO_KEY, key64

USERS, ITEMS, DIMS = 80, 40, 4
OPINIONS = FeatureConfig(text_dims=2, category_levels=1, item_vectors=DIMS, liked_from={"rating": 4.0})
ENGAGEMENT = FeatureConfig(text_dims=2, category_levels=1, item_vectors=DIMS)
SIDE = np.arange(ITEMS) % 2
"""Half of the items are of a kind that the first half of the users likes, and the others do not."""


def planted(config: FeatureConfig, seed: int = 0, share: float = 0.4) -> Interactions:
    """Ratings of 5 and 1 by taste and kind, or clicks on what the taste is for."""
    random = np.random.default_rng(seed)
    user, item = np.nonzero(random.random((USERS, ITEMS)) < share)
    likes = (user < USERS // 2) == (SIDE[item] == 0)
    if not config.opinion_types:
        user, item = user[likes], item[likes]
    value = np.where(likes, 5.0, 1.0) if config.opinion_types else np.ones(len(user))
    order = random.permutation(len(user))
    return Interactions(
        users=USERS,
        items=[f"i{number}" for number in range(ITEMS)],
        user=user[order].astype(np.int32),
        item=item[order].astype(np.int32),
        kind=np.zeros(len(user), np.int8),
        value=value[order],
        time_s=1e9 + np.arange(len(user)),
    )


def contents(facets: bool = True) -> Content:
    keys = np.array([[key64(f"kind{side}") if facets else NO_KEY, NO_KEY] for side in SIDE])
    return Content(np.zeros((ITEMS, 2)), keys)


def vectors_of(learned: Learned) -> np.ndarray:
    """In the order of the items."""
    found = learned.vectors
    place, known = found.find(np.array([key64(f"i{number}") for number in range(ITEMS)]))
    assert known.all()
    return found.vector[place, :-1].astype(np.float64)


@pytest.mark.parametrize("config", [OPINIONS, ENGAGEMENT])
def test_vectors_of_items_that_the_same_users_like_are_alike(config: FeatureConfig) -> None:
    vectors = vectors_of(learn_vectors(config, planted(config), contents()))
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    alike = unit @ unit.T
    same = SIDE[:, None] == SIDE
    assert alike[same].mean() > 0.9
    assert alike[~same].mean() < 0.3


def test_the_item_that_everybody_likes_has_the_highest_bias() -> None:
    past = planted(OPINIONS)
    value = np.where(past.item == 7, 5.0, np.where(past.item == 8, 1.0, past.value))
    found = learn_vectors(OPINIONS, replace(past, value=value), contents()).factors.bias
    assert (7, 8) == (found.argmax(), found.argmin())


def test_solutions_are_those_of_the_normal_equations() -> None:
    """Whatever the blocks: every item's vector solves its own ridge regression on the users' vectors."""
    random = np.random.default_rng(1)
    user, item = np.nonzero(random.random((30, 12)) < 0.5)
    entries = Entries(30, 12, user, item, random.uniform(0.5, 3, len(user)), random.normal(size=len(user)))
    start = Factors(random.normal(size=(12, 3)), np.zeros(12))
    found = factorise(entries, start, ridge=2.0, bias_ridge=1e12, passes=1, engagement=False)
    users = np.zeros((30, 3))
    for number in range(30):
        own = user == number
        near = start.vector[item[own]] * entries.weight[own, None]
        users[number] = np.linalg.solve(start.vector[item[own]].T @ near + 2 * np.eye(3), near.T @ entries.value[own])
    for number in range(12):
        own = item == number
        near = users[user[own]] * entries.weight[own, None]
        expected = np.linalg.solve(users[user[own]].T @ near + 2 * np.eye(3), near.T @ entries.value[own])
        np.testing.assert_allclose(found.vector[number], expected, atol=1e-8)


def test_items_without_history_get_the_vector_of_their_kind() -> None:
    """From facets, or from texts where they tell kinds apart."""
    learned = learn_vectors(OPINIONS, planted(OPINIONS), contents())
    facet_key = contents().facet_key[:2]
    numbers = np.arange(facet_key.size).reshape(facet_key.shape)
    new = learned.vectors.of_content(np.zeros((2, 2), np.float32), facet_key.ravel(), numbers)[:, :-1]
    means = [vectors_of(learned)[side == SIDE].mean(axis=0) for side in (0, 1)]
    for own, other in ((0, 1), (1, 0)):
        assert new[own] @ means[own] > 0 > new[own] @ means[other]
    texts = Content(np.stack([SIDE == 0, SIDE == 1], axis=1).astype(float), contents(facets=False).facet_key)
    by_text = learn_vectors(OPINIONS, planted(OPINIONS), texts).vectors
    said = by_text.of_content(np.eye(2, dtype=np.float32), np.array([NO_KEY]), np.zeros((2, 2), np.int64))[:, :-1]
    assert said[0] @ said[1] < 0


def test_contents_that_say_nothing_give_the_mean() -> None:
    vector, users = np.tile([1.0, 2.0], (ITEMS, 1)), np.full(ITEMS, 50.0)
    found = fit_content(contents(facets=False), vector, users)
    assert not len(found.facet_key)
    np.testing.assert_allclose(found.text_vector[-1], [1.0, 2.0], atol=1e-4)


@pytest.mark.parametrize("config", [OPINIONS, ENGAGEMENT])
def test_vectors_go_on_from_those_of_the_period_before(config: FeatureConfig) -> None:
    """Few passes from there end where many from anywhere do."""
    past = planted(config)
    first = learn_vectors(config, past.first(len(past) // 2), contents())
    both = [vectors_of(learn_vectors(config, past, contents(), start)) for start in (first.factors, None)]
    products = [each @ each.T for each in both]
    assert np.corrcoef(products[0].ravel(), products[1].ravel())[0, 1] > 0.98
