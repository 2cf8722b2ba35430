"""When the stages of a request ended."""

from services.ranking.stages import Stages


def test_a_stage_begins_where_the_one_before_ended() -> None:
    """The first one, with the list itself."""
    now_s = iter([1.0, 1.5, 4.0])
    stages = Stages(lambda: next(now_s))
    stages.end("validate")
    stages.end("score")
    assert [("validate", 1.0, 1.5), ("score", 1.5, 4.0)] == list(stages)
