"""Stages of a request and their durations."""

from crossrec.ranking.v1 import ranking_pb2 as pb
from services.ranking.request_state import Degradations, StageTimings


def test_a_mark_ends_the_stage_begun_by_the_previous_one() -> None:
    """Without gaps, in order; a stage's name may occur again."""
    clock = iter([5, 7, 10, 30])
    stages = StageTimings(lambda: next(clock))
    stages.end("validate")
    stages.end("hydrate")
    stages.end("validate")
    assert [("validate", 5, 7), ("hydrate", 7, 10), ("validate", 10, 30)] == stages.steps


def test_notes_are_numbers_and_versions() -> None:
    stages = StageTimings()
    stages.note("neural/3", candidates=200, sources=6)
    assert {"crossrec.model.version": "neural/3", "crossrec.candidates": 200, "crossrec.sources": 6} == stages.notes


def test_a_reason_is_added_once() -> None:
    """The first detail is kept."""
    degradations = Degradations()
    degradations.add(pb.DEGRADATION_REASON_UNKNOWN_ITEMS, "two", 2)
    degradations.add(pb.DEGRADATION_REASON_UNKNOWN_ITEMS, "three", 3)
    degradations.add(pb.DEGRADATION_REASON_UNKNOWN_USER, "user")
    assert [(line.detail, line.item_count) for line in degradations.reasons] == [("two", 2), ("user", 0)]
