"""Events joined to the answers that their tokens name."""

from export.monitoring.attribution.join import ShownItems, join_events
from tests.unit.export.monitoring.attribution.campaign import answer, answers, happened, outcomes


def rows(joined: ShownItems) -> list[tuple[int, int, float]]:
    probability = joined.probability.round(6).tolist()
    return list(zip(joined.position.tolist(), joined.label.tolist(), probability, strict=True))


def test_an_item_shown_is_a_row_with_its_position_and_probability() -> None:
    """Once, however often it was shown or clicked; a click without an impression counts as shown."""
    made = answers()
    joined = join_events(made, [happened(*line) for line in outcomes(made)], {"click"})
    assert [(0, 0, 0.8), (1, 1, 0.5), (2, 0, 0.2), (1, 0, 0.5), (0, 1, 0.8)] == rows(joined)
    assert [("tv", "m/1", "x"), ("tv", "m/1", "y")] == joined.groups
    assert [2, 1] == joined.answers.tolist()
    assert {} == joined.unmatched


def test_what_is_an_outcome_is_chosen() -> None:
    """A purchase is none where clicks are asked for, but shows that the item was seen."""
    made = [answer("ann", "x")]
    bought = [happened("ann", "purchase", "a", made[0].answer.attribution_token)]
    assert [(0, 0, 0.8)] == rows(join_events(made, bought, {"click"}))
    assert [(0, 1, 0.8)] == rows(join_events(made, bought, {"click", "purchase"}))


def test_events_that_fit_no_answer_are_counted_by_why() -> None:
    """Tokens of others, forged ones, items that were not answered, answers that were not sampled."""
    made = [answer("ann", "x")]
    token, unknown = made[0].answer.attribution_token, answer("ann", "x").answer.attribution_token
    events = [
        happened("bob", "click", "a", token),
        happened("ann", "click", "z", token),
        happened("ann", "click", "a", "?"),
        happened("ann", "click", "a", unknown),
        happened("ann", "click", "a", ""),
        happened("ann", "query", "", token),
    ]
    joined = join_events(made, events, {"click"})
    assert [] == rows(joined)
    assert {
        "another user's token": 1,
        "item not in the answer": 1,
        "no token of ours": 1,
        "answer not in the log": 1,
    } == joined.unmatched


def test_without_answers_there_are_no_groups() -> None:
    """And no rows."""
    joined = join_events([], [], {"click"})
    assert ([], []) == (joined.groups, rows(joined))
