"""What is wrong with a time that cannot be: the same words at every door.

Pure: the clock is an argument. Times are seconds since 1970.
"""

from services.features.config import DAY_S

_FIRST_S, _LAST_S = 1e8, 1e10
"""1973 and 2286: a time outside of them is most likely in another unit."""

_PER_SECOND = {"seconds": 1.0, "milliseconds": 1e3, "microseconds": 1e6, "nanoseconds": 1e9}


def unit_hint(number: float) -> str:
    """`; milliseconds?` for a number that is a time between 1973 and 2286 in that unit; empty if it is in none."""
    found = (unit for unit, per_second in _PER_SECOND.items() if _FIRST_S <= number / per_second < _LAST_S)
    return next((f"; {unit}?" for unit in found), "")


def future_hint(time_s: float) -> str:
    """`; milliseconds?` and the like for a time so far ahead that it is most likely in another unit; else empty."""
    return unit_hint(time_s) if time_s >= _LAST_S else ""


def describe_future(time_s: float, ahead_s: float) -> str:
    """Why a time is rejected that is `ahead_s` seconds after the latest tolerated one."""
    return f"is {ahead_s:.3f} s beyond the tolerated future{future_hint(time_s)}"


def describe_age(age_s: float, max_age_s: float) -> str:
    """Why a time is rejected that was `age_s` seconds ago."""
    return f"is {age_s / DAY_S:.1f} days ago; events older than {max_age_s / DAY_S:g} days are not counted"
