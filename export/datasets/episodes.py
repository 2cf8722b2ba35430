"""Episodes: a user's first action on an item, and the following ones within a window.

A click, add-to-cart and purchase within minutes are one decision: one labelled row, which must be earlier than the
first of them. Pure numpy on codes and milliseconds.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Episodes:
    """Actions sorted by user, item and time; an episode begins at each of `starts` and ends before the next."""

    action: Ints
    starts: Ints

    @classmethod
    def find(cls, user: Ints, item: Ints, time: Ints, actions: Ints, window_ms: int) -> "Episodes":
        """Find the episodes of the events `actions` (row numbers into `user`, `item` and `time`)."""
        action = actions[np.lexsort((time[actions], item[actions], user[actions]))]
        new = (np.diff(user[action]) != 0) | (np.diff(item[action]) != 0)
        return cls(action, _starts(np.concatenate([[True], new]), time[action], window_ms))

    def decisions(
        self, wanted: npt.NDArray[np.bool_], positive: npt.NDArray[np.bool_]
    ) -> tuple[Ints, Ints, npt.NDArray[np.int8]]:
        """Per episode with a wanted event: row of its first action, of its first positive or else wanted event; label.

        Args:
            wanted: [E] the event has a type that makes labels.
            positive: [E] the event makes a positive.
        """
        place = np.arange(len(self.action))
        never = len(self.action)
        first_positive = np.minimum.reduceat(np.where(positive[self.action], place, never), self.starts)
        first_wanted = np.minimum.reduceat(np.where(wanted[self.action], place, never), self.starts)
        chosen = np.where(first_positive < never, first_positive, first_wanted)
        kept = chosen < never
        return self.action[self.starts[kept]], self.action[chosen[kept]], (first_positive[kept] < never).astype(np.int8)


def _starts(new: npt.NDArray[np.bool_], time: Ints, window_ms: int) -> Ints:
    """Indices where episodes begin: at each new pair, then at the first action after the window, and so on."""
    pair = np.cumsum(new) - 1
    key = pair * (np.ptp(time) + window_ms + 1) + (time - time.min())
    current = np.flatnonzero(new)
    starts = [current]
    while len(current):
        following = np.searchsorted(key, key[current] + window_ms, side="right")
        inside = following < len(key)
        current = following[inside][pair[following[inside]] == pair[current[inside]]]
        starts.append(current)
    return np.sort(np.concatenate(starts))
