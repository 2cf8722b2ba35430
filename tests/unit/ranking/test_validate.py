"""Parsing of valid requests; every rule that rejects one is in tests/contract/test_rank_validation.py."""

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from crossrec.ranking.v1.ranking_pb2 import RankOptions, RankRequest, RequestContext
from services.errors import InvalidRequest
from services.features.config import Attribute, FeatureConfig
from services.ranking.validate import RankQuery, validate

NOW_S = 1_800_000_000.0
CONFIG = FeatureConfig(attributes=(Attribute("hour", "context"), Attribute("age", "context")))


def test_absent_fields_get_their_defaults() -> None:
    """The clock's time, all items, and no diversity."""
    expected = RankQuery("u", "", ("b", "a"), 0, NOW_S, {}, explain=False, diversity=0.0)
    assert expected == validate(RankRequest(user_id="u", item_ids=["b", "a"]), CONFIG, NOW_S)


def test_the_user_id_is_pseudonymized() -> None:
    """Rules apply to the id in the request; an empty id is unchanged."""
    named = validate(RankRequest(user_id="u", item_ids=["a"]), CONFIG, NOW_S, lambda user: f"{user}!" * 100)
    assert "u!" * 100 == named.user_id
    with pytest.raises(InvalidRequest, match="user_id: is empty"):
        validate(RankRequest(item_ids=["a"]), CONFIG, NOW_S, lambda user: f"{user}!")


def test_all_fields_are_parsed() -> None:
    """As plain values; the time with its fraction."""
    message = RankRequest(
        user_id="u",
        scenario_id="tv",
        item_ids=["a"],
        top_k=7,
        request_time=Timestamp(seconds=1_000_000_000, nanos=250_000_000),
        context=RequestContext(attributes={"hour": 21.0}),
        options=RankOptions(explain=True, diversity=0.25),
    )
    expected = RankQuery("u", "tv", ("a",), 7, 1_000_000_000.25, {"hour": 21.0}, explain=True, diversity=0.25)
    assert expected == validate(message, CONFIG, NOW_S)


def test_the_error_of_an_undeclared_attribute_names_the_declared_ones() -> None:
    """Sorted, or it reports that none is declared."""
    message = RankRequest(user_id="u", item_ids=["a"], context=RequestContext(attributes={"x": 1.0}))
    for config, declared in ((CONFIG, "age, hour"), (FeatureConfig(), "none")):
        with pytest.raises(InvalidRequest) as caught:
            validate(message, config, NOW_S)
        assert caught.value.description == f"is not declared for entity context; declared are: {declared}"


def test_the_name_of_a_rejected_attribute_is_shortened() -> None:
    """So that the response is not as large as the request."""
    message = RankRequest(user_id="u", item_ids=["a"], context=RequestContext(attributes={"x" * 10_000: 1.0}))
    with pytest.raises(InvalidRequest) as caught:
        validate(message, CONFIG, NOW_S)
    assert caught.value.field == f'context.attributes["{"x" * 128}"]'
