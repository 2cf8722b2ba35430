"""The attribution token."""

import pytest

from services.features.hashing import key64
from services.ranking.attribution import (
    MAX_TOKEN_BYTES,
    Attribution,
    InvalidAttributionToken,
    make_attribution_token,
    parse_attribution_token,
)


def test_a_token_holds_its_fields() -> None:
    """Model, arm, scenario and time are parsed; each token has a new answer id."""
    first, second = (parse_attribution_token(make_attribution_token("m/1", "b", "tv", 12.5)) for _ in range(2))
    assert Attribution(first.answer_id, "m/1", "b", "tv", 12.5) == first
    assert first.answer_id != second.answer_id


def test_a_scenario_that_makes_it_too_long_is_named_by_its_key() -> None:
    """Control characters take six bytes each in JSON."""
    scenario = "\x01" * 128
    token = make_attribution_token("m/1", "", scenario, 0.0)
    assert len(token) <= MAX_TOKEN_BYTES
    assert str(key64(scenario)) == parse_attribution_token(token).scenario


@pytest.mark.parametrize("text", ["", "?", "abc", "é", "W10", "MQ", "bnVsbA", "eyJpZCI6MX0", "a" * 512])
def test_other_texts_are_rejected(text: str) -> None:
    """A client may send any text."""
    with pytest.raises(InvalidAttributionToken, match="attribution_token"):
        parse_attribution_token(text)
