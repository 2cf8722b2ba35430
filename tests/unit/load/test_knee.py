"""The search for the knee, on servers of a given capacity."""

from collections.abc import Callable

import pytest

from services.load.knee import Knee, Search, find_knee


def server(capacity: float, tried: list[float]) -> Callable[[float], bool]:
    def holds(rate: float) -> bool:
        tried.append(rate)
        return rate <= capacity

    return holds


@pytest.mark.parametrize("capacity", [3.0, 50.0, 77.0, 1234.0])
def test_the_knee_is_within_the_precision(capacity: float) -> None:
    """Whether the first rate is below or above it."""
    knee = find_knee(server(capacity, []), Search(start=50, precision=0.05))
    assert knee.held <= capacity < (knee.failed or 0)
    assert (knee.failed or 0) - knee.held <= 0.05 * max(knee.held, 50)


def test_the_rate_is_raised_until_it_fails_and_then_bisected() -> None:
    tried: list[float] = []
    find_knee(server(130, tried), Search(start=50, factor=2, precision=0.2))
    assert [50, 100, 200, 150, 125] == tried[:5]


def test_the_search_stops_at_the_highest_rate() -> None:
    tried: list[float] = []
    assert Knee(300, None) == find_knee(server(1e9, tried), Search(start=100, factor=2, highest=300))
    assert [100, 200, 300] == tried


def test_the_search_ends_if_the_server_holds_no_rate() -> None:
    tried: list[float] = []
    knee = find_knee(server(0, tried), Search(start=100))
    assert 0 == knee.held
    assert len(tried) < 10


def test_an_interrupted_search_returns_what_it_found() -> None:
    results = iter([True, True, None])
    assert Knee(150, None) == find_knee(lambda _: next(results), Search(start=100))
