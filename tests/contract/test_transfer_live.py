"""Transfer weights and language of a running system: new scenarios and new words count at once, all over gRPC."""

from collections.abc import Iterator

import numpy as np
import pytest

from tests.contract.live_chain import LiveChain, event, item, running, scenario, weights
from tests.contract.rank_server import scores

ITEMS = ["tea", "milk"]


@pytest.fixture
def chain() -> Iterator[LiveChain]:
    with running() as chain:
        chain.publish(
            scenario("shelf", "bought in the store aisle"),
            scenario("tv", "watched at home in the evening"),
            item("tea", "green tea"),
            item("milk", "whole milk"),
            event("click", "shelf", "tea"),
            event("click", "tv", "milk", user_id="bob"),
        )
        yield chain


def test_a_scenario_created_at_run_time_has_weights_of_its_own(chain: LiveChain) -> None:
    """From its description alone, as a target and as a source; nothing was restarted or trained."""
    before = weights(chain.rank("tv", ITEMS))
    chain.publish(scenario("radio", "music in the kitchen"))
    radio, tv = weights(chain.rank("radio", ITEMS)), weights(chain.rank("tv", ITEMS))
    assert sorted(radio) == sorted(tv) == ["radio", "shelf", "tv"]
    assert {name: tv[name] for name in before} == before
    assert all(abs(radio[name] - tv[name]) > 1e-3 for name in radio)


def test_new_scenarios_differ_by_their_descriptions_only(chain: LiveChain) -> None:
    """Two with the same description have the same weights; a third with another description has others."""
    chain.publish(scenario("one", "music in the kitchen"), scenario("two", "music in the kitchen"))
    chain.publish(scenario("three", "posters at the bus stop"))
    one, two, three = (weights(chain.rank(name, ITEMS)) for name in ("one", "two", "three"))
    assert one == pytest.approx(two)
    assert one["one"] == pytest.approx(one["two"])
    assert abs(one["shelf"] - three["shelf"]) > 1e-3
    assert abs(one["one"] - one["three"]) > 1e-3


def test_activity_in_a_new_scenario_moves_its_weights(chain: LiveChain) -> None:
    """A click of another user distinguishes it from a scenario with the same description."""
    chain.publish(scenario("one", "music in the kitchen"), scenario("two", "music in the kitchen"))
    chain.publish(event("click", "two", "milk", user_id="bob"))
    one, two = weights(chain.rank("one", ITEMS)), weights(chain.rank("two", ITEMS))
    assert abs(one["shelf"] - two["shelf"]) > 1e-3
    assert abs(one["one"] - one["two"]) > 1e-3


@pytest.mark.parametrize(("kind", "item_id"), [("query", ""), ("comment", "milk")], ids=["query", "comment"])
def test_new_words_change_language_weights_and_scores(chain: LiveChain, kind: str, item_id: str) -> None:
    """A query or a review moves L_uj of its user and scenario, and with it M and the next answer."""
    before = chain.rank("tv", ITEMS)
    others = chain.store.rows["user_scenario"]["bob", "tv"]["language"].copy()
    assert ("ann", "tv") not in chain.store.rows["user_scenario"]
    chain.publish(event(kind, "tv", item_id, "whole milk for the evening"))
    after = chain.rank("tv", ITEMS)
    assert np.linalg.norm(chain.store.rows["user_scenario"]["ann", "tv"]["language"]) > 0.1
    assert abs(weights(after)["tv"] - weights(before)["tv"]) > 1e-3
    assert all(abs(scores(after)[name] - scores(before)[name]) > 1e-3 for name in ITEMS)
    np.testing.assert_array_equal(chain.store.rows["user_scenario"]["bob", "tv"]["language"], others)


def test_words_count_in_their_own_scenario_first(chain: LiveChain) -> None:
    """A query in tv leaves the language of the shelf as it was, and is part of the user's overall language."""
    shelf = chain.store.rows["user_scenario"]["ann", "shelf"]["language"].copy()
    overall = chain.store.rows["user"][("ann",)]["language"].copy()
    chain.publish(event("query", "tv", text="whole milk"))
    np.testing.assert_array_equal(chain.store.rows["user_scenario"]["ann", "shelf"]["language"], shelf)
    assert np.linalg.norm(chain.store.rows["user"][("ann",)]["language"] - overall) > 0.1


def test_two_queries_of_different_words_weigh_and_rank_differently(chain: LiveChain) -> None:
    """The words of the query decide, not its presence: each user's item gains over the other's."""
    chain.publish(event("query", "tv", text="green tea", user_id="tess"))
    chain.publish(event("query", "tv", text="whole milk", user_id="mia"))
    tess, mia = (chain.rank("tv", ITEMS, user) for user in ("tess", "mia"))
    assert scores(tess)["tea"] - scores(tess)["milk"] > scores(mia)["tea"] - scores(mia)["milk"]
    assert abs(weights(tess)["tv"] - weights(mia)["tv"]) > 1e-3
