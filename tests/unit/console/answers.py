"""Rank responses, built by hand."""

from crossrec.ranking.v1 import ranking_pb2 as pb


def answer(order: dict[str, float], weights: dict[str, float] | None = None, scenario: str = "tv") -> pb.RankResponse:
    """Items with their scores, best first; each contribution is the score split evenly over the sources."""
    sources = {"shelf": 0.5, "tv": 1.0} if weights is None else weights
    total = sum(sources.values())
    response = pb.RankResponse(scenario_id=scenario, model_version="fake/1")
    for name, weight in sources.items():
        response.transfer_weights.add(scenario_id=name, weight=weight, share=weight / total)
    for item, score in order.items():
        line = response.items.add(item_id=item, score=score, probability=score / 2)
        for _ in sources:
            line.contributions.add(preference=score, contribution=score / len(sources), share=1 / len(sources))
    return response


def with_newest_event(response: pb.RankResponse, time_s: float) -> pb.RankResponse:
    """The answer, with the time of the user's newest event."""
    response.freshness.newest_user_event.FromMilliseconds(round(time_s * 1000))
    return response
