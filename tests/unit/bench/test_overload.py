"""Time to recovery, from the seconds of a run."""

from typing import Any

import pytest

from tests.bench.overload import recovered_within_s


def second(number: int, p99_ms: float | None = 5.0, **codes: int) -> dict[str, Any]:
    return {"second": number, "codes": {"OK": 10, **codes}, "p99_ms": p99_ms}


OVERLOAD = [second(number, 90.0, RESOURCE_EXHAUSTED=20) for number in range(3)]


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        ([second(3), second(4)], 0.0),
        ([second(3, RESOURCE_EXHAUSTED=1), second(4)], 1.0),
        ([second(3), second(4, 50.0), second(5, None)], 2.0),
        ([second(3), second(4, DEADLINE_EXCEEDED=1)], None),
    ],
    ids=["at once", "last rejections", "late answers", "never"],
)
def test_recovery_is_the_last_rejection_or_late_answer(after: list[dict[str, Any]], expected: float | None) -> None:
    assert expected == recovered_within_s([*OVERLOAD, *after], 3.0, 20.0)
