"""When requests are due."""

import numpy as np

from services.load.schedule import CONSTANT, Step, share_of


def test_poisson_arrivals_are_a_poisson_process() -> None:
    """Gaps are exponential: their deviation is their mean, they are memoryless, and as many as the rate."""
    due = Step(rate=500, duration_s=200, seed=3).due_s()
    gaps = np.diff(due)
    assert abs(len(due) / 200 - 500) < 5
    assert abs(gaps.std() / gaps.mean() - 1) < 0.02
    assert abs((gaps > gaps.mean()).mean() - np.exp(-1)) < 0.01
    assert abs(np.corrcoef(gaps[:-1], gaps[1:])[0, 1]) < 0.02


def test_arrivals_are_in_order_and_within_the_step() -> None:
    due = Step(rate=100, duration_s=5).due_s()
    assert (np.diff(due) >= 0).all()
    assert due[0] >= 0
    assert due[-1] < 5


def test_the_seed_determines_the_schedule() -> None:
    first, again, other = (Step(rate=100, duration_s=5, seed=seed).due_s().tolist() for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_constant_arrivals_have_equal_gaps() -> None:
    assert [0.0, 0.25, 0.5, 0.75] == Step(rate=4, duration_s=1, arrivals=CONSTANT).due_s().tolist()


def test_clients_share_the_requests_of_all_steps() -> None:
    """Each request has one client, whatever the number of requests in earlier steps."""
    mine = [[7 + place for place in share_of(7, 10, share, 3)] for share in range(3)]
    assert list(range(7, 17)) == sorted(number for numbers in mine for number in numbers)
    assert all(number % 3 == share for share, numbers in enumerate(mine) for number in numbers)
