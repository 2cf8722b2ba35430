"""Units that a time is likely in."""

import pytest

from services.features.times import describe_future, future_hint, unit_hint


@pytest.mark.parametrize(
    ("number", "hint"),
    [
        (1_794_244_163, "; seconds?"),
        (1_794_244_163_597, "; milliseconds?"),
        (1_794_244_163_597_000, "; microseconds?"),
        (1_794_244_163_597_000_000, "; nanoseconds?"),
        (0, ""),
        (-1_794_244_163_597, ""),
        (42, ""),
        (1e300, ""),
        (float("nan"), ""),
    ],
)
def test_the_unit_of_a_time_is_guessed_by_its_size(number: float, hint: str) -> None:
    """The present is a number of another size in every unit."""
    assert hint == unit_hint(number)


def test_only_a_time_that_cannot_be_meant_raises_the_question() -> None:
    """A clock that is a day ahead counts seconds like any other."""
    assert "" == future_hint(1_794_244_163 + 86_400)
    assert "is 1792449919433.000 s beyond the tolerated future; milliseconds?" == describe_future(
        1_794_244_163_597, 1_792_449_919_433
    )
