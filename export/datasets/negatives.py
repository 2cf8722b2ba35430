"""Samples negatives for positives: items that existed and that the user did not choose.

Pure numpy on codes and milliseconds. Point in time: only items that existed, and only earlier popularity.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
MAX_DRAWS = 30
NONE = -1


class EngagementIndex:
    """Index of engagements, to look up whether a user engages with an item within a window after a time.

    Args:
        user: [E] user codes of all engagements.
        item: [E] item codes, below `items`.
        time: [E] milliseconds.
        items: number of item codes.
        window_ms: length of the window.
    """

    def __init__(self, user: Ints, item: Ints, time: Ints, items: int, window_ms: int) -> None:
        self._items, self._window = items, window_ms
        self._first = int(time.min()) - 1
        self._span = int(time.max()) - self._first + window_ms + 1
        self._pairs, rank = np.unique(user * items + item, return_inverse=True)
        self._keys = np.sort(rank.reshape(-1) * self._span + (time - self._first))

    def after(self, user: Ints, item: Ints, time: Ints) -> npt.NDArray[np.bool_]:
        """Per row: an engagement at `time` or within the window after it; `time` is at least 1 ms before the first."""
        pair = user * self._items + item
        rank = np.minimum(np.searchsorted(self._pairs, pair), len(self._pairs) - 1)
        key = rank * self._span + (time - self._first)
        begin = np.searchsorted(self._keys, key)
        end = np.searchsorted(self._keys, key + self._window, side="right")
        return np.asarray((self._pairs[rank] == pair) & (end > begin))


@dataclass(frozen=True)
class ItemPool:
    """Item codes in the order of `time`, milliseconds: earlier entries can be drawn, with equal probability."""

    item: Ints
    time: Ints

    @classmethod
    def uniform(cls, created: Ints) -> "ItemPool":
        """Every item once, from after its creation."""
        order = np.argsort(created, kind="stable")
        return cls(order, created[order])

    @classmethod
    def by_popularity(cls, created: Ints, item: Ints, time: Ints) -> "ItemPool":
        """Every item once, and once more per earlier engagement (`item`, `time` [E])."""
        known = time >= created[item]
        items = np.concatenate([np.arange(len(created)), item[known]])
        times = np.concatenate([created, time[known]])
        order = np.lexsort((items, times))
        return cls(items[order], times[order])

    def draw(self, time: Ints, rng: np.random.Generator) -> Ints:
        """Draw an item per time; NONE where there is none yet."""
        available = np.searchsorted(self.time, time)
        drawn = (rng.random(len(time)) * available).astype(np.int64)
        return np.where(available > 0, self.item[np.minimum(drawn, len(self.item) - 1)], NONE)


def draw_negatives(
    user: Ints,
    item: Ints,
    time: Ints,
    per_positive: int,
    pools: Sequence[ItemPool],
    engaged: EngagementIndex,
    seed: int,
) -> tuple[Ints, Ints]:
    """Draw distinct items [P, per_positive] for positives [P], and the place of each one's pool in `pools`.

    NONE where 30 draws found no other. Never the positive itself, nor an item with which the user engages at `time` or
    within the window after. Several pools take turns.
    """
    rng = np.random.default_rng(seed)
    pool = (np.arange(len(user))[:, None] + np.arange(per_positive)) % len(pools)
    drawn = np.full((len(user), per_positive), NONE, np.int64)
    for _ in range(MAX_DRAWS):
        row, slot = np.nonzero(drawn == NONE)
        if not len(row):
            break
        new = _draw(pools, pool[row, slot], time[row], rng)
        fits = (new != NONE) & (new != item[row])
        fits[fits] = ~engaged.after(user[row[fits]], new[fits], time[row[fits]])
        drawn[row[fits], slot[fits]] = new[fits]
        _drop_repeats(drawn, np.unique(row[fits]))
    return drawn, pool


def _draw(pools: Sequence[ItemPool], chosen: Ints, time: Ints, rng: np.random.Generator) -> Ints:
    """Draw an item per time from the chosen pool."""
    drawn = np.full(len(time), NONE, np.int64)
    for number, pool in enumerate(pools):
        mine = chosen == number
        drawn[mine] = pool.draw(time[mine], rng)
    return drawn


def _drop_repeats(drawn: Ints, rows: Ints) -> None:
    """Set repeated items within a row to NONE, except the first."""
    part = drawn[rows]
    for slot in range(1, part.shape[1]):
        repeated = (part[:, :slot] == part[:, slot, None]).any(axis=1)
        part[repeated, slot] = NONE
    drawn[rows] = part
