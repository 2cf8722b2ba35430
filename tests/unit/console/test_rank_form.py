"""From a form to a request."""

import pytest

from services.console.catalogue import KnownNames
from services.console.rank_form import PASTED, POPULAR, SAMPLE, InvalidForm, RankForm, rank_request, select_candidates

KNOWN = KnownNames({"shelf": "The shelf", "tv": "TV"}, ("tea", "milk", "dust"), {}, ("ann", "bob"), 1_500_000_000.0)


def test_popular_items_are_the_first_ones() -> None:
    assert ["tea", "milk"] == select_candidates(RankForm(source=POPULAR, count=2), KNOWN)


def test_a_sample_is_the_same_each_time_and_holds_each_item_once() -> None:
    first = select_candidates(RankForm(source=SAMPLE, count=10), KNOWN)
    assert first == select_candidates(RankForm(source=SAMPLE, count=10), KNOWN)
    assert ["dust", "milk", "tea"] == sorted(first)


def test_pasted_ids_may_be_separated_by_anything_and_repeat() -> None:
    pasted = RankForm(source=PASTED, pasted=" a, b\nc;a\tb ")
    assert ["a", "b", "c"] == select_candidates(pasted, KNOWN)


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        (RankForm(source=PASTED), "paste item ids"),
        (RankForm(source=PASTED, pasted=" ".join(map(str, range(2001)))), "2,001 ids"),
        (RankForm(count=0), "1 to 2,000"),
        (RankForm(count=2001), "1 to 2,000"),
    ],
)
def test_invalid_candidates_are_rejected(choice: RankForm, message: str) -> None:
    with pytest.raises(InvalidForm, match=message):
        select_candidates(choice, KNOWN)


def test_without_known_items_ids_have_to_be_pasted() -> None:
    with pytest.raises(InvalidForm, match="knows no items"):
        select_candidates(RankForm(), KnownNames())


def test_a_request_is_explained_and_has_the_chosen_time() -> None:
    choice = RankForm(user_id=" ann ", scenario_id="tv", moment="2017-07-14T02:40:00")
    request = rank_request(choice, ["tea"])
    assert ("ann", "tv", ["tea"]) == (request.user_id, request.scenario_id, list(request.item_ids))
    assert request.options.explain
    assert 1_500_000_000 == request.request_time.seconds


def test_without_a_chosen_time_the_request_has_none() -> None:
    assert not rank_request(RankForm(user_id="ann"), ["tea"]).HasField("request_time")


@pytest.mark.parametrize("choice", [RankForm(), RankForm(user_id="  "), RankForm(user_id="ann", moment="yesterday")])
def test_a_form_without_user_or_with_an_invalid_time_is_rejected(choice: RankForm) -> None:
    with pytest.raises(InvalidForm, match="enter a"):
        rank_request(choice, ["tea"])


def test_an_empty_form_is_prefilled_from_the_store() -> None:
    """If all events are long past, the time is that of the newest; chosen values are kept."""
    choice = RankForm(scenario_id="tv")
    choice.prefill(KNOWN, 1_800_000_000.0)
    assert ("ann", "tv", "2017-07-14T02:40:00") == (choice.user_id, choice.scenario_id, choice.moment)
    live = RankForm()
    live.prefill(KNOWN, 1_500_000_060.0)
    assert "" == live.moment
