"""The knee: the highest rate that a server holds, found by raising the rate until it fails and then bisecting.

Knows rates; how a rate is tried is an argument.
"""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Search:
    """Parameters of the search.

    Args:
        start: first rate, requests per second.
        factor: the rate is multiplied by it while it is held; more than 1.
        highest: no higher rate is tried.
        precision: largest remaining gap between held and failed rate, relative to the held one.
    """

    start: float
    factor: float = 1.5
    highest: float = 100_000.0
    precision: float = 0.05


@dataclass(frozen=True)
class Knee:
    """Result of the search.

    Args:
        held: the highest rate that was held, requests per second; 0: none was.
        failed: the lowest rate that was not held; None: all were.
    """

    held: float
    failed: float | None


def find_knee(holds: Callable[[float], bool | None], search: Search) -> Knee:
    """Try rates with `holds` until the knee is known to the wanted precision.

    `holds` returns whether the server holds a rate, or None to end the search with what is known.
    """
    held, failed = 0.0, None
    rate = min(search.start, search.highest)
    while (verdict := holds(rate)) is not None:
        if verdict:
            held = rate
        else:
            failed = rate
        if failed is None:
            if held >= search.highest:
                break
            rate = min(held * search.factor, search.highest)
        elif failed - held <= search.precision * (held or search.start):
            break
        else:
            rate = (held + failed) / 2
    return Knee(held, failed)
