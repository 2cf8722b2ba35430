"""Join of events to answers by attribution token."""

from export.monitoring.attribution.join import ShownItems, join_events
from tests.unit.export.monitoring.attribution.campaign import answer, answers, observed, outcomes


def rows(joined: ShownItems) -> list[tuple[int, int, float]]:
    probability = joined.probability.round(6).tolist()
    return list(zip(joined.position.tolist(), joined.label.tolist(), probability, strict=True))


def test_a_shown_item_is_a_row_with_its_position_and_probability() -> None:
    """Once, however often it was shown or clicked; a click without an impression counts as shown."""
    made = answers()
    joined = join_events(made, [observed(*line) for line in outcomes(made)], {"click"})
    assert [(0, 0, 0.8), (1, 1, 0.5), (2, 0, 0.2), (1, 0, 0.5), (0, 1, 0.8)] == rows(joined)
    assert [("tv", "m/1", "x"), ("tv", "m/1", "y")] == joined.groups
    assert [2, 1] == joined.answers.tolist()
    assert {} == joined.unmatched


def test_outcome_types_are_configurable() -> None:
    """With clicks as outcome a purchase is none, but it proves that the item was shown."""
    made = [answer("ann", "x")]
    bought = [observed("ann", "purchase", "a", made[0].answer.attribution_token)]
    assert [(0, 0, 0.8)] == rows(join_events(made, bought, {"click"}))
    assert [(0, 1, 0.8)] == rows(join_events(made, bought, {"click", "purchase"}))


def test_unmatched_events_are_counted_by_reason() -> None:
    """Tokens of other users, invalid ones, items not in the answer, answers that were not sampled."""
    made = [answer("ann", "x")]
    token, unknown = made[0].answer.attribution_token, answer("ann", "x").answer.attribution_token
    events = [
        observed("bob", "click", "a", token),
        observed("ann", "click", "z", token),
        observed("ann", "click", "a", "?"),
        observed("ann", "click", "a", unknown),
        observed("ann", "click", "a", ""),
        observed("ann", "query", "", token),
    ]
    joined = join_events(made, events, {"click"})
    assert [] == rows(joined)
    assert {
        "another user's token": 1,
        "item not in the answer": 1,
        "invalid token": 1,
        "answer not in the log": 1,
    } == joined.unmatched


def test_without_answers_there_are_no_groups() -> None:
    """And no rows."""
    joined = join_events([], [], {"click"})
    assert ([], []) == (joined.groups, rows(joined))
