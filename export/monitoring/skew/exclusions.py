"""Excludes values that server and replay computed from different events: in flight, late, ahead, or not in the data.

Such differences are no skew of code. A user's row stores the last folded offset of the behaviour topic, so for the
user's own features the events are known one by one. Rows that sum over all users (popularity) store no such offset;
there the arrival time decides. Pure; knows nothing of Kafka or features.
"""

import math
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crossrec.ranking.v1.served_pb2 import ServedRanking
from export.monitoring.served_log import USER_UPDATE, ObservedEvent, requested_at_s, served_at_s

IN_FLIGHT = "in flight"
"""Event before the request's time, in Kafka when the server answered, but not in the rows yet."""
LATE = "late"
"""Event before the request's time that reached Kafka after the answer."""
AHEAD = "ahead"
"""Event in the rows with the request's time or a later one."""
NOT_IN_DATA = "not in the data"
"""Event in the rows that the data set lacks."""
OTHER_EPOCH = "another topic epoch"
"""The user's row was written from a topic that was re-created since."""

REASONS = (IN_FLIGHT, LATE, AHEAD, NOT_IN_DATA, OTHER_EPOCH)

Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]

EventKey = tuple[str, str, str, str, int]
"""User, scenario, item, type, milliseconds since 1970."""


@dataclass(frozen=True)
class RequestExclusions:
    """Reasons to exclude features of a request: of the user's own ones, and of those that sum over all users."""

    user: frozenset[str]
    shared: frozenset[str]


def event_keys(event: ObservedEvent) -> tuple[EventKey, EventKey]:
    """The two keys that an event may have in a data set: its microseconds cut off, or rounded up."""
    time_ms = math.floor(event.time_s * 1000)
    what = (event.user, event.scenario, event.item, event.kind)
    return (*what, time_ms), (*what, time_ms + 1)


class SkewExclusions:
    """Decides per request which features are excluded from the comparison.

    Args:
        events: events and updates of the behaviour topic.
        in_data: keys of the data set's events and updates, as far back as `events` go.
        epoch: the behaviour topic's epoch.
        settle_s: seconds after its arrival within which an event may be missing from rows that sum over all users.
    """

    def __init__(
        self, events: Sequence[ObservedEvent], in_data: Collection[EventKey], epoch: int, settle_s: float
    ) -> None:
        self._epoch, self._settle_s = epoch, settle_s
        self._time_s, self._arrived_s = (
            np.array([getattr(event, name) for event in events], np.float64) for name in ("time_s", "arrived_s")
        )
        self._known = np.array([any(key in in_data for key in event_keys(event)) for event in events], bool)
        # Attributes of one user are in no sum over all users.
        self._of_all = np.flatnonzero([event.kind != USER_UPDATE for event in events])
        self._offset = np.array([event.offset for event in events], np.int64)
        self._partition = np.array([event.partition for event in events], np.int64)
        places = defaultdict[str, list[int]](list)
        for place, event in enumerate(events):
            places[event.user].append(place)
        self._user_events = {user: np.array(numbers) for user, numbers in places.items()}

    def exclude(self, record: ServedRanking) -> RequestExclusions:
        """Reasons to exclude features of one request."""
        request_s, answered_s = requested_at_s(record), served_at_s(record)
        here = self._arrived_s <= answered_s
        unsettled = here & (self._arrived_s > answered_s - self._settle_s)
        shared = self._reasons(self._of_all, request_s, *(mask[self._of_all] for mask in (here, unsettled, ~here)))
        if record.user.topic_epoch not in (-1, 0, self._epoch):
            return RequestExclusions(frozenset({OTHER_EPOCH}), shared)
        mine = self._user_events.get(record.user_id, np.zeros(0, np.int64))
        folded = (self._partition[mine] == record.user.partition) & (self._offset[mine] <= record.user.offset)
        user = self._reasons(mine, request_s, folded, ~folded & here[mine], ~folded & ~here[mine])
        return RequestExclusions(user, shared)

    def _reasons(self, events: Ints, request_s: float, seen: Flags, missing: Flags, late: Flags) -> frozenset[str]:
        """Reasons from events that are in the rows, possibly missing from them, and arrived after the answer."""
        before, known = self._time_s[events] < request_s, self._known[events]
        masks = {
            IN_FLIGHT: before & missing & known,
            LATE: before & late & known,
            AHEAD: ~before & seen,
            NOT_IN_DATA: before & seen & ~known,
        }
        return frozenset(reason for reason, mask in masks.items() if mask.any())
