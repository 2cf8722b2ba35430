"""A Rank request from the arguments of a caller."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from crossrec.ranking.v1.ranking_pb2 import RankRequest
from services.client.ranking import rank_request


def test_a_request_has_only_the_given_fields() -> None:
    """Fields that are not given have the contract's defaults."""
    request = rank_request("ann", ["milk", "tea"])
    assert RankRequest(user_id="ann", item_ids=["milk", "tea"], context={}, options={}) == request


def test_every_argument_sets_its_field() -> None:
    moment = datetime(2027, 1, 15, 8, tzinfo=UTC)
    request = rank_request(
        "ann",
        ["milk"],
        scenario_id="tv",
        top_k=1,
        request_time=moment,
        context={"hour": 8.0},
        explain=True,
        diversity=0.5,
    )
    expected = RankRequest(user_id="ann", item_ids=["milk"], scenario_id="tv", top_k=1)
    expected.request_time.FromDatetime(moment)
    expected.context.attributes["hour"] = 8.0
    expected.options.explain, expected.options.diversity = True, 0.5
    assert expected == request


def test_a_time_of_another_zone_is_the_same_moment() -> None:
    there = datetime(2027, 1, 15, 10, tzinfo=timezone(timedelta(hours=2)))
    assert 1_799_999_999 + 1 == rank_request("ann", [], request_time=there).request_time.seconds


def test_a_time_without_a_zone_is_rejected() -> None:
    with pytest.raises(ValueError, match="request_time: has no time zone"):
        rank_request("ann", [], request_time=datetime(2027, 1, 15, 8))
