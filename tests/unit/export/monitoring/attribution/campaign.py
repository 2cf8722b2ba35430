"""A small campaign whose metrics can be calculated by hand.

Two users, three answers of items a, b, c with probabilities 0.8, 0.5 and 0.2:
answer 1 (tv, arm x, ann): all three shown, b clicked (twice); answer 2 (tv, arm x, bob): a and b shown, a clicked;
answer 3 (tv, arm y, ann): no events.
"""

import math

from crossrec.ranking.v1.served_pb2 import ServedRanking
from export.monitoring.served_log import ObservedEvent
from services.ranking.attribution import make_attribution_token, parse_attribution_token

ITEMS, PROBABILITIES = ("a", "b", "c"), (0.8, 0.5, 0.2)
CTR, NDCG = 2 / 5, (1 + 1 / math.log2(3)) / 2
PREDICTED = (0.8 + 0.5 + 0.2 + 0.8 + 0.5) / 5


def answer(user: str, arm: str, served_s: float = 1000.0) -> ServedRanking:
    token = make_attribution_token("m/1", arm, "tv", served_s)
    made = ServedRanking(user_id=user, answer_id=parse_attribution_token(token).answer_id, candidates=3)
    made.served_time.FromMicroseconds(round(served_s * 1e6))
    made.answer.scenario_id, made.answer.model_version, made.answer.experiment_arm = "tv", "m/1", arm
    made.answer.attribution_token = token
    for item, probability in zip(ITEMS, PROBABILITIES, strict=True):
        made.answer.items.add(item_id=item, probability=probability)
    return made


def answers(served_s: float = 1000.0) -> list[ServedRanking]:
    return [answer(user, arm, served_s) for user, arm in (("ann", "x"), ("bob", "x"), ("ann", "y"))]


def outcomes(made: list[ServedRanking]) -> list[tuple[str, str, str, str]]:
    """User, type, item and token of every event that followed."""
    first, second = (record.answer.attribution_token for record in made[:2])
    return [
        *(("ann", "impression", item, first) for item in ITEMS),
        ("ann", "click", "b", first),
        ("ann", "click", "b", first),
        ("bob", "impression", "b", second),
        ("bob", "click", "a", second),
    ]


def observed(user: str, kind: str, item: str, token: str) -> ObservedEvent:
    return ObservedEvent(user, "tv", item, kind, 1001.0, token, 0, 0, 1002.0)
