"""What the server and the replay could not both know at a request: events under way, late, ahead, or not in the data.

Such differences are no skew of code. A user's row says up to which record of the behaviour topic it goes, so for the
user's own features the events are known one by one; what all users' events add up to (popularity) has no such mark, and
there time decides. Pure; knows nothing of Kafka or features.
"""

import math
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crossrec.ranking.v1.served_pb2 import ServedRanking
from export.monitoring.served_log import ObservedEvent, requested_at_s, served_at_s

IN_FLIGHT = "in flight"
"""Happened before the request's time, in Kafka when it was answered, but not in the rows yet."""
LATE = "late"
"""Happened before the request's time, but came to Kafka only after the answer."""
AHEAD = "ahead"
"""In the rows, though it happened at the request's time or later."""
NOT_IN_DATA = "not in the data"
"""In the rows, but the data set lacks it."""
OTHER_EPOCH = "another topic epoch"
"""The user's row speaks of a topic that was re-created since."""

REASONS = (IN_FLIGHT, LATE, AHEAD, NOT_IN_DATA, OTHER_EPOCH)

Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]

EventKey = tuple[str, str, str, str, int]
"""User, scenario, item, type, milliseconds since 1970."""


@dataclass(frozen=True)
class RequestExclusions:
    """Why features of a request may differ: those of the user alone, and those that all users' events add up to."""

    user: frozenset[str]
    shared: frozenset[str]


def event_keys(event: ObservedEvent) -> tuple[EventKey, EventKey]:
    """Under which of two keys an event stands in a data set: its microseconds may have been cut off, or rounded up."""
    time_ms = math.floor(event.time_s * 1000)
    what = (event.user, event.scenario, event.item, event.kind)
    return (*what, time_ms), (*what, time_ms + 1)


class SkewExclusions:
    """Says of requests what speaks against comparing them.

    Args:
        events: of the behaviour topic.
        in_data: the events of the data set, as far back as `events` go.
        epoch: the behaviour topic's epoch.
        settle_s: seconds after its arrival within which an event may be missing in what all users' events add up to.
    """

    def __init__(
        self, events: Sequence[ObservedEvent], in_data: Collection[EventKey], epoch: int, settle_s: float
    ) -> None:
        self._epoch, self._settle_s = epoch, settle_s
        self._time_s, self._arrived_s = (
            np.array([getattr(event, name) for event in events], np.float64) for name in ("time_s", "arrived_s")
        )
        self._known = np.array([any(key in in_data for key in event_keys(event)) for event in events], bool)
        self._offset = np.array([event.offset for event in events], np.int64)
        self._partition = np.array([event.partition for event in events], np.int64)
        places = defaultdict[str, list[int]](list)
        for place, event in enumerate(events):
            places[event.user].append(place)
        self._of_user = {user: np.array(found) for user, found in places.items()}

    def circumstances(self, record: ServedRanking) -> RequestExclusions:
        """Of one request."""
        request_s, answered_s = requested_at_s(record), served_at_s(record)
        here = self._arrived_s <= answered_s
        unsettled = here & (self._arrived_s > answered_s - self._settle_s)
        shared = self._reasons(slice(None), request_s, here, unsettled, ~here)
        if record.user.topic_epoch not in (-1, 0, self._epoch):
            return RequestExclusions(frozenset({OTHER_EPOCH}), shared)
        mine = self._of_user.get(record.user_id, np.zeros(0, np.int64))
        folded = (self._partition[mine] == record.user.partition) & (self._offset[mine] <= record.user.offset)
        user = self._reasons(mine, request_s, folded, ~folded & here[mine], ~folded & ~here[mine])
        return RequestExclusions(user, shared)

    def _reasons(
        self, events: slice | Ints, request_s: float, seen: Flags, missing: Flags, late: Flags
    ) -> frozenset[str]:
        """Of some events: which are in the rows, in Kafka but perhaps not in the rows, and came after the answer."""
        before, known = self._time_s[events] < request_s, self._known[events]
        found = {
            IN_FLIGHT: before & missing & known,
            LATE: before & late & known,
            AHEAD: ~before & seen,
            NOT_IN_DATA: before & seen & ~known,
        }
        return frozenset(reason for reason, which in found.items() if which.any())
