"""Order and selection of candidates on plain arrays."""

import numpy as np
import pytest

from services.features.encode import Tensors
from services.ranking.diversify import diversify, select
from services.registry.model import Scores


def scores_of(probability: list[float]) -> Scores:
    values = np.array(probability, np.float32)
    return Scores(values[:, None], np.ones(1, np.float32), values, values)


def tensors_of(text: list[list[float]]) -> Tensors:
    empty = np.zeros(0, np.float32)
    return Tensors(empty, empty, empty, empty, np.array(text, np.float32), empty)


def test_without_diversity_the_score_alone_decides() -> None:
    """Ties keep the order of the request; texts are not used."""
    order = diversify(scores_of([0.1, 0.5, 0.5, 0.9]), tensors_of([[1, 0]] * 4), 0.0)
    assert order.tolist() == [3, 1, 2, 0]


def test_diversity_ranks_dissimilar_items_first() -> None:
    """(1 - d) * probability - d * closest: computed by hand for d = 0.5."""
    text = [[1.0, 0.0], [1.0, 0.0], [0.6, 0.8], [0.0, 1.0]]
    # First item 0. Then, doubled, the values are 0.8 - 1, 0.75 - 0.6 and 0.1 - 0; then 0.8 - 1 and 0.1 - 0.8.
    assert diversify(scores_of([0.9, 0.8, 0.75, 0.1]), tensors_of(text), 0.5).tolist() == [0, 2, 1, 3]


def test_many_equal_scores_keep_the_order_of_the_request() -> None:
    """So many that an unstable sort would not keep them in order."""
    order = diversify(scores_of([0.5] * 500), tensors_of([[1.0, 0.0]] * 500), 0.0)
    assert order.tolist() == list(range(500))


def test_similarity_to_all_ranked_items_counts() -> None:
    """The third place avoids an item similar to the first, although it is dissimilar to the second."""
    text = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]
    assert diversify(scores_of([0.9, 0.8, 0.7, 0.1]), tensors_of(text), 0.5).tolist() == [0, 1, 3, 2]


def test_full_diversity_uses_texts_only() -> None:
    """For any scores; equal values keep the order of the request."""
    text = [[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]
    assert diversify(scores_of([0.1, 0.9, 0.2]), tensors_of(text), 1.0).tolist() == [0, 2, 1]


def test_items_without_text_are_similar_to_no_item() -> None:
    """Vectors of zeros: diversity changes nothing among them."""
    assert diversify(scores_of([0.2, 0.9, 0.5]), tensors_of([[0.0, 0.0]] * 3), 0.9).tolist() == [1, 2, 0]


def test_an_opposite_text_comes_before_an_unrelated_one() -> None:
    """Negative similarities count: at equal probabilities the opposite of the first item comes next."""
    text = [[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]]
    assert diversify(scores_of([0.9, 0.5, 0.5]), tensors_of(text), 0.5).tolist() == [0, 2, 1]


@pytest.mark.parametrize("diversity", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("places", [1, 2, 29, 30, 99])
def test_fewer_places_are_a_prefix_of_all_places(places: int, diversity: float) -> None:
    """No more places are computed, and the first ones do not depend on the number."""
    random = np.random.default_rng(2)
    text = random.normal(size=(30, 8)).tolist()
    scores = scores_of(random.random(30).tolist())
    few, whole = (diversify(scores, tensors_of(text), diversity, count) for count in (places, 0))
    assert select(few, places).tolist() == select(whole, places).tolist()
    assert len(whole) == 30


@pytest.mark.parametrize("diversity", [0.0, 0.01, 0.5, 1.0])
def test_every_candidate_is_placed_once(diversity: float) -> None:
    """A permutation that begins with the best item, unless scores have no weight."""
    random = np.random.default_rng(0)
    text = random.normal(size=(50, 8))
    text /= np.linalg.norm(text, axis=1, keepdims=True)
    probability = random.random(50)
    order = diversify(scores_of(probability.tolist()), tensors_of(text.tolist()), diversity).tolist()
    assert sorted(order) == list(range(50))
    assert diversity == 1 or order[0] == probability.argmax()


@pytest.mark.parametrize(("top_k", "expected"), [(0, [2, 0, 1]), (1, [2]), (2, [2, 0]), (9, [2, 0, 1])])
def test_select_takes_the_head(top_k: int, expected: list[int]) -> None:
    """0 selects all, and so does a number larger than the number of items."""
    assert select(np.array([2, 0, 1]), top_k).tolist() == expected
