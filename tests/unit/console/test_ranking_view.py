"""An answer as pages show it."""

import pytest

from crossrec.ranking.v1 import ranking_pb2 as pb
from services.console.ranking_view import describe_degradation, ranking_view
from tests.unit.console.answers import answer, with_newest_event

NAMES = {"tv": "Television", "shelf": "shelf"}


def test_lines_hold_place_title_and_contributions_that_add_up() -> None:
    view = ranking_view(answer({"tea": 0.8, "milk": 0.4}), {"tea": "Green tea"}, NAMES, 12.3)
    assert [(1, "Green tea"), (2, "milk")] == [(line.place, line.title) for line in view.lines]
    for line in view.lines:
        assert abs(sum(line.contributions) - line.score) < 1e-6
        assert (0.5, 0.5) == line.shares
    assert [("shelf", 0.5), ("Television", 1.0)] == [(source.name, source.weight) for source in view.sources]
    assert [1 / 3, 2 / 3] == pytest.approx([source.share for source in view.sources])


def test_facts_name_model_arm_and_freshness() -> None:
    """Also that there is no experiment, or that no event is known."""
    response = answer({"tea": 1.0})
    facts = dict(ranking_view(response, {}, NAMES, 12.3).facts)
    assert ("fake/1", "no experiment") == (facts["Model"], facts["Experiment arm"])
    assert "Television (tv)" == facts["Target scenario"]
    assert ("none is known", "for this answer") == (
        facts["User's newest event"],
        facts["User's features read"],
    )
    response.experiment_arm, response.freshness.user_read_ms = "b", 1500
    facts = dict(ranking_view(with_newest_event(response, 1_500_000_000), {}, NAMES, 12.3).facts)
    assert ("b", "2017-07-14T02:40:00 UTC") == (facts["Experiment arm"], facts["User's newest event"])
    assert "1,500 ms ago" == facts["User's features read"]


def test_a_recognised_target_has_its_posterior_likeliest_first() -> None:
    response = answer({"tea": 1.0})
    response.scenario_posterior.add(scenario_id="shelf", probability=0.25)
    response.scenario_posterior.add(scenario_id="tv", probability=0.75)
    assert [("Television (tv)", 0.75), ("shelf", 0.25)] == list(ranking_view(response, {}, NAMES, 1).posterior)


def test_reasons_of_degradation_are_text() -> None:
    """Kinds that are newer than this code show their number."""
    known = pb.Degradation(reason=pb.DEGRADATION_REASON_STALE_USER, detail="as of 3 s ago")
    assert "Stale user: as of 3 s ago" == describe_degradation(known)
    assert "99: new" == describe_degradation(pb.Degradation(reason=99, detail="new"))


def test_an_answer_without_scenarios_has_lines_without_contributions() -> None:
    response = pb.RankResponse(items=[pb.RankedItem(item_id="tea")])
    view = ranking_view(response, {}, {}, 1)
    assert [()] == [line.contributions for line in view.lines]
    assert [] == list(view.sources)
