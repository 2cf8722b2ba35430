"""Exponentially decayed sums: a value at a reference time, halved every half-life.

An event of weight w at time t counts w * 2^(-(now - t) / h). States at different reference times add up after
both are decayed to the later one, so the sum does not depend on the order of arrival beyond rounding.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def decay_factors(elapsed_s: Floats, half_lives_s: Sequence[float]) -> Floats:
    """The share that remains after `elapsed_s` [...] seconds, per half-life: [..., H]. Negative times count as 0."""
    elapsed = np.maximum(elapsed_s, 0.0)[..., None]
    remaining: Floats = np.exp2(-elapsed / np.asarray(half_lives_s))
    return remaining


def log2_mass(value: Floats, time_s: Floats, half_life_s: float) -> Floats:
    """log2 of a decayed value, shifted so that values at different reference times compare: [...].

    The order of two states by mass is the order of their values at any common later time.
    """
    with np.errstate(divide="ignore"):
        result: Floats = np.log2(value) + time_s / half_life_s
    return result
