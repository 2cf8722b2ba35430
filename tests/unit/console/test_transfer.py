"""The matrix of shares."""

from crossrec.ranking.v1 import ranking_pb2 as pb
from services.console.transfer import transfer_of
from tests.unit.console.answers import answer


def test_each_answer_is_a_row() -> None:
    found = transfer_of({"shelf": answer({}, {"shelf": 0.75, "tv": 0.25}), "tv": answer({}, {"shelf": 0.5, "tv": 0.5})})
    assert (["shelf", "tv"], ["shelf", "tv"]) == (found.targets, found.sources)
    assert [[0.75, 0.25], [0.5, 0.5]] == found.shares
    assert ("shelf to tv: 50.0%", "tv to shelf: 25.0%") == found.extremes


def test_a_scenario_has_share_zero_in_answers_that_do_not_have_it() -> None:
    found = transfer_of({"shelf": answer({}, {"shelf": 0.5}), "tv": answer({}, {"shelf": 1.0, "tv": 3.0})})
    assert [[1.0, 0.0], [0.25, 0.75]] == found.shares


def test_a_single_scenario_has_no_transfer_between_others() -> None:
    assert transfer_of({"tv": answer({}, {"tv": 1.0})}).extremes is None


def test_warnings_are_shown_once() -> None:
    response = answer({})
    response.degraded.add(reason=pb.DEGRADATION_REASON_UNKNOWN_USER, detail="no features")
    assert ["Unknown user: no features"] == transfer_of({"shelf": response, "tv": response}).warnings
