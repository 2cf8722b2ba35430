"""The limit on a simulated server with 4 slots of 10 ms: 400 requests a second, in simulated time."""

from statistics import mean

import pytest

from services.ranking.admission.concurrency_limit import ConcurrencyLimit
from tests.unit.ranking.admission.simulated_server import SimulatedServer

TURNS, TAKES_S, CAPACITY = 4, 0.01, 400.0
TARGET_S = 0.05


def server(most: int = 256) -> tuple[ConcurrencyLimit, SimulatedServer]:
    """An idle server."""
    limit = ConcurrencyLimit(TURNS, most, TARGET_S)
    return limit, SimulatedServer(limit, TURNS)


def test_three_times_the_capacity_leaves_the_goodput_at_capacity() -> None:
    """Admitted requests wait for about the target time."""
    _, simulated = server()
    simulated.run(10, 3 * CAPACITY, TAKES_S)
    loaded = simulated.run(30, 3 * CAPACITY, TAKES_S)
    assert loaded.good >= 0.97 * 30 * CAPACITY
    assert mean(loaded.waits_s) < 2 * TARGET_S
    assert loaded.lost == loaded.late == 0


def test_the_limit_settles_at_slots_plus_target_times_capacity() -> None:
    """Little's law, after a period of constant load."""
    limit, simulated = server()
    simulated.run(10, 3 * CAPACITY, TAKES_S)
    seen = []
    for _ in range(100):
        simulated.run(0.2, 3 * CAPACITY, TAKES_S)
        seen.append(limit.limit)
    expected = TURNS + TARGET_S * CAPACITY
    assert mean(seen) == pytest.approx(expected, rel=0.5)


def test_slower_requests_lower_the_limit_and_faster_ones_raise_it() -> None:
    """The limit does not know the cost of a request."""
    limit, simulated = server()
    simulated.run(20, 3 * CAPACITY, TAKES_S)
    before = limit.limit
    slow = simulated.run(20, 3 * CAPACITY, 10 * TAKES_S)
    assert limit.limit < before / 2
    assert slow.good >= 0.9 * 20 * CAPACITY / 10
    simulated.run(20, 3 * CAPACITY, TAKES_S)
    assert limit.limit > before / 2


def test_deadlines_shorter_than_the_target_shorten_the_queue() -> None:
    """Admitted requests are answered in time; with the target alone all would run too late."""
    _, simulated = server()
    simulated.run(10, 3 * CAPACITY, TAKES_S, deadline_s=0.06)
    loaded = simulated.run(20, 3 * CAPACITY, TAKES_S, deadline_s=0.06)
    assert loaded.good >= 0.9 * 20 * CAPACITY


@pytest.mark.parametrize(("load", "refused"), [(0.5, 0.0), (0.8, 0.001), (0.9, 0.01)])
def test_below_the_capacity_nearly_no_request_is_rejected(load: float, refused: float) -> None:
    """Bursts are admitted; near the capacity a few requests are rejected."""
    _, simulated = server()
    calm = simulated.run(60, load * CAPACITY, TAKES_S)
    assert calm.rejected <= refused * 60 * load * CAPACITY


def test_after_an_overload_all_requests_are_admitted_again() -> None:
    """Within seconds."""
    _, simulated = server()
    simulated.run(20, 10 * CAPACITY, TAKES_S)
    simulated.run(2, 0.7 * CAPACITY, TAKES_S)
    assert 0 == simulated.run(10, 0.7 * CAPACITY, TAKES_S).rejected


@pytest.mark.parametrize(("slots", "most", "expected"), [(4, 64, 5), (4, 2, 2), (1, 1, 1)])
def test_the_limit_is_bounded(slots: int, most: int, expected: int) -> None:
    """For any wait, the limit is at least the number of slots; it starts at the upper bound."""
    limit = ConcurrencyLimit(slots, most)
    assert most == limit.limit
    for second in range(1000):
        limit.on_wait(10.0, 60.0, float(second))
    assert expected == limit.limit
    for second in range(1000, 3000):
        limit.on_rejection()
        limit.on_wait(0.0, 60.0, float(second))
    assert most == limit.limit
