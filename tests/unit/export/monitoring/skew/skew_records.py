"""Records and events of skew tests."""

from crossrec.ranking.v1.served_pb2 import ServedRanking
from export.monitoring.served_log import ObservedEvent

REQUEST_S, SERVED_S = 1000.0, 1010.0


def record(user: str = "ann", epoch: int = 1, partition: int = 0, offset: int = 5) -> ServedRanking:
    """A request at time 1000, answered at 1010; the user's row includes events up to offset 5."""
    made = ServedRanking(user_id=user, answer_id=f"answer-{user}")
    made.served_time.FromSeconds(int(SERVED_S))
    made.request_time.FromSeconds(int(REQUEST_S))
    made.user.topic_epoch, made.user.partition, made.user.offset = epoch, partition, offset
    return made


def event(offset: int, time_s: float, arrived_s: float, user: str = "ann") -> ObservedEvent:
    return ObservedEvent(user, "tv", f"item-{offset}", "click", time_s, "", 0, offset, arrived_s)
