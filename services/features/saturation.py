"""Diminishing weight of one user's repeated engagement with one item in the activity of all users.

An engagement counts 1 / (1 + c / SCALE), where c is the user's own decayed engagement with the item before it. So n
engagements at one time add up to about SCALE * ln(1 + n / SCALE): 30,000 clicks of one user are worth 36 of as many
users, and no one user makes an item popular. A user's own rows count everything in full.

Weights are rounded to eighths of a halving, so that the weight of an event is a small number in the row of its user:
folded again after a crash, an event weighs what it weighed the first time.
"""

import numpy as np
from numpy.typing import NDArray

from services.features.decay import decay_factors
from services.features.events import Events
from services.features.rows import Floats, Ints
from services.features.tables import Table, mix_keys, run_starts

SCALE = 4.0
"""Earlier engagement after which the next counts half."""

LEVELS = 8
"""Levels per halving of the weight."""


def saturation_weights(level: Ints) -> Floats:
    """Weight of events of these levels: [E]."""
    result: Floats = np.exp2(-level / LEVELS)
    return result


def saturation_levels(
    table: Table, row: Ints, events: Events, weight: Floats, strength: int, half_life_s: float
) -> Ints:
    """Level of each event: 0 for a user's first engagement with an item, and for events that are none.

    Args:
        table: [R] engaged items of the rows, from before the events.
        row: [E] row of each event.
        events: the events, in offset order.
        weight: [E] engagement of each event, 0 for those that do not count.
        strength: number of the table's value that is compared.
        half_life_s: its half-life.
    """
    engaging = np.flatnonzero(weight > 0)
    group = mix_keys(row, events.item_key)[engaging]
    order = np.argsort(group, kind="stable")
    chosen, starts = engaging[order], run_starts(group[order])
    entry = table.lookup(row[chosen], events.item_key[chosen])
    value, time_s = np.zeros(len(chosen)), np.zeros(len(chosen))
    value[entry >= 0] = table.value[entry[entry >= 0], strength]
    time_s[entry >= 0] = table.time_s[entry[entry >= 0]]
    earlier = value * decay_factors(events.time_s[chosen] - time_s, (half_life_s,))[:, 0]
    if not starts.all():
        _add_earlier_events(earlier, starts, value, time_s, events.time_s[chosen], weight[chosen], half_life_s)
    levels = np.zeros(len(events), np.int64)
    levels[chosen] = np.rint(LEVELS * np.log2(1.0 + earlier / SCALE))
    return levels


def _add_earlier_events(
    earlier: Floats,
    starts: NDArray[np.bool_],
    value: Floats,
    time_s: Floats,
    event_s: Floats,
    weight: Floats,
    half_life_s: float,
) -> None:
    """Fill in the engagement before each event that is not the first of its user and item, in order of arrival."""
    repeats = ~starts
    in_run = repeats | np.append(repeats[1:], False)
    sum_at, at = 0.0, 0.0
    for number in np.flatnonzero(in_run).tolist():
        if starts[number]:
            sum_at, at = float(value[number]), float(time_s[number])
        now_s = float(event_s[number])
        if now_s > at:
            sum_at, at = sum_at * 2.0 ** ((at - now_s) / half_life_s), now_s
        earlier[number] = sum_at
        sum_at += float(weight[number]) * 2.0 ** ((now_s - at) / half_life_s)
