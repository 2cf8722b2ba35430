"""Episodes: a user's first touch of an item, and what follows within a window.

A click, the cart and the purchase a minute later are one decision: one labelled row, which must stand before the
first of them. Pure numpy on codes and milliseconds.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Episodes:
    """Touches by user, item and time; an episode begins at each of `starts` and ends before the next."""

    touch: Ints
    starts: Ints

    @classmethod
    def of(cls, user: Ints, item: Ints, time: Ints, touches: Ints, window_ms: int) -> "Episodes":
        """The episodes of the events `touches` (row numbers into `user`, `item` and `time`)."""
        touch = touches[np.lexsort((time[touches], item[touches], user[touches]))]
        new = (np.diff(user[touch]) != 0) | (np.diff(item[touch]) != 0)
        return cls(touch, _starts(np.concatenate([[True], new]), time[touch], window_ms))

    def decided(
        self, wanted: npt.NDArray[np.bool_], positive: npt.NDArray[np.bool_]
    ) -> tuple[Ints, Ints, npt.NDArray[np.int8]]:
        """Per episode with a wanted event: row of its first touch, of its first positive or else wanted one; label.

        Args:
            wanted: [E] the event is of a type that makes labels.
            positive: [E] it also makes a positive.
        """
        place = np.arange(len(self.touch))
        never = len(self.touch)
        first_positive = np.minimum.reduceat(np.where(positive[self.touch], place, never), self.starts)
        first_wanted = np.minimum.reduceat(np.where(wanted[self.touch], place, never), self.starts)
        chosen = np.where(first_positive < never, first_positive, first_wanted)
        kept = chosen < never
        return self.touch[self.starts[kept]], self.touch[chosen[kept]], (first_positive[kept] < never).astype(np.int8)


def _starts(new: npt.NDArray[np.bool_], time: Ints, window_ms: int) -> Ints:
    """Places where episodes begin: at each new pair, then at the first touch later than the window, and so on."""
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
