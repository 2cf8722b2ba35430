"""Proposes half-lives of decayed counts from the ages that history has when it is read.

A count with half-life h tells events younger than h from older ones. So half-lives should span the ages of what users
did, from the youngest quarter, and of what was done with items, to the oldest quarter. Pure numpy on milliseconds.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

SAMPLES = 200_000
"""Events whose history is sampled."""

LEAST_RATIO = 4.0
"""Neighbouring half-lives are at least this far apart: nearer ones tell the same."""

_MINUTE, _HOUR, _DAY = 60.0, 3600.0, 86_400.0
ROUND_S = (
    *(n for n in (1.0, 5.0, 15.0)),
    *(n * _MINUTE for n in (1, 5, 15)),
    *(n * _HOUR for n in (1, 3, 6, 12)),
    *(n * _DAY for n in (1, 2, 4, 7, 14, 30, 60, 120, 240, 480)),
)
"""Half-lives that are proposed, seconds."""


@dataclass(frozen=True)
class HistoryAges:
    """Ages of earlier events at an event, seconds: one drawn per event of the same user, and of the same item."""

    user_s: Floats
    item_s: Floats


def sample_ages(user: Ints, item: Ints, time_ms: Ints, seed: int = 0) -> HistoryAges:
    """Ages of the history of user actions [E]; equal times are no history of each other."""
    rng = np.random.default_rng(seed)
    return HistoryAges(_ages(user, time_ms, rng), _ages(item, time_ms, rng))


def _ages(group: Ints, time_ms: Ints, rng: np.random.Generator) -> Floats:
    """Age of one random earlier event of the group, for a sample of the events that have any."""
    order = np.lexsort((time_ms, group))
    groups, times = group[order], time_ms[order]
    new = np.flatnonzero(np.concatenate([[True], groups[1:] != groups[:-1]])) if len(groups) else np.zeros(0, np.int64)
    start = np.repeat(new, np.diff(np.append(new, len(groups))))
    place = np.arange(len(groups))
    older = np.flatnonzero(place > start)
    if len(older) > SAMPLES:
        older = np.sort(rng.choice(older, SAMPLES, replace=False))
    earlier = start[older] + (rng.random(len(older)) * (older - start[older])).astype(np.int64)
    age = (times[older] - times[earlier]) / 1000.0
    return np.asarray(age[age > 0])


def propose_half_lives(ages: HistoryAges) -> tuple[float, ...]:
    """One to three half-lives, seconds, shortest first; none without any history."""
    both = [values for values in (ages.user_s, ages.item_s) if len(values)]
    if not both:
        return ()
    first = ages.user_s if len(ages.user_s) else ages.item_s
    short = _round(float(np.quantile(first, 0.25)))
    long = max(_round(max(float(np.quantile(values, 0.75)) for values in both)), short)
    middle = _round(float(np.sqrt(short * long)))
    chosen = [long]
    for half_life in (middle, short):
        if chosen[0] / half_life >= LEAST_RATIO:
            chosen.insert(0, half_life)
    return tuple(chosen)


def _round(seconds: float) -> float:
    """The nearest round duration by ratio."""
    return min(ROUND_S, key=lambda known: abs(np.log(known / max(seconds, 1e-3))))


def toml_line(half_lives_s: tuple[float, ...]) -> str:
    """The line of `[features]` that sets them."""
    return f"half_lives_s = [{', '.join(f'{value:.1f}' for value in half_lives_s)}]"
