"""The budget of pending records and the rate per client."""

import threading

import pytest

from services.gateway.pressure import PendingBudget, RateLimits


class Clock:
    """Stands still until it is moved."""

    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.mark.parametrize(("size", "records"), [(5, 1), (1, 3)], ids=["bytes", "records"])
def test_beyond_a_bound_nothing_is_taken(size: int, records: int) -> None:
    """Neither bytes nor records, and room is there again once something was given back."""
    budget = PendingBudget(max_bytes=10, max_records=4)
    assert budget.take(6, 2)
    assert not budget.take(size, records)
    assert budget.pending == (6, 2)
    budget.give_back(6, 2)
    assert budget.take(size, records)


def test_a_batch_larger_than_the_budget_is_taken_alone() -> None:
    """It would never be otherwise."""
    budget = PendingBudget(max_bytes=10, max_records=4)
    assert budget.take(100, 50)
    assert not budget.take(1, 1)
    budget.give_back(100, 50)
    assert budget.take(1, 1)
    assert not budget.take(100, 50)


def test_who_waits_gets_room_as_soon_as_there_is_some() -> None:
    budget = PendingBudget(max_bytes=10, max_records=4)
    budget.take(10, 1)
    taken: list[bool] = []
    waiter = threading.Thread(target=lambda: taken.append(budget.take(10, 1, timeout_s=30.0)))
    waiter.start()
    budget.give_back(10)
    waiter.join(30)
    assert taken == [True]
    assert budget.pending == (10, 1)


def test_who_waits_can_be_told_not_to() -> None:
    budget, over, taken = PendingBudget(max_bytes=10, max_records=4), threading.Event(), []
    budget.take(10, 1)
    waiter = threading.Thread(target=lambda: taken.append(budget.take(10, 1, 30.0, over.is_set)))
    waiter.start()
    over.set()
    budget.wake()
    waiter.join(30)
    assert taken == [False]
    assert budget.pending == (10, 1)


def test_a_client_sends_its_burst_and_then_its_rate() -> None:
    """The delay is exactly the time until there are enough tokens."""
    clock = Clock()
    rates = RateLimits(10.0, 5, clock_s=clock)
    assert rates.delay_s("a", 5) == 0.0
    assert rates.delay_s("a", 2) == 0.2
    clock.now_s += 0.1
    assert rates.delay_s("a", 2) == 0.1
    clock.now_s += 0.1
    assert rates.delay_s("a", 2) == 0.0
    assert rates.delay_s("b", 5) == 0.0


def test_a_pause_fills_the_bucket_and_no_more() -> None:
    clock = Clock()
    rates = RateLimits(10.0, 5, clock_s=clock)
    clock.now_s += 1000
    rates.delay_s("a", 5)
    assert rates.delay_s("a", 1) == 0.1


def test_more_than_a_burst_is_granted_by_a_full_bucket_and_paid_off() -> None:
    """Else a batch of a thousand would never pass a burst of a hundred."""
    clock = Clock()
    rates = RateLimits(10.0, 5, clock_s=clock)
    assert rates.delay_s("a", 25) == 0.0
    assert rates.delay_s("a", 1) == 2.1


def test_without_a_rate_anything_goes() -> None:
    """And no client has a bucket."""
    rates = RateLimits(0.0, 1)
    assert [rates.delay_s("a", 1000) for _ in range(3)] == [0.0] * 3
    assert len(rates) == 0


def test_clients_remembered_are_bounded() -> None:
    """The longest unheard is forgotten, and starts anew."""
    rates = RateLimits(1.0, 1, max_clients=2, clock_s=Clock())
    for client in ("a", "b", "a", "c"):
        rates.delay_s(client, 1)
    assert len(rates) == 2
    assert (rates.delay_s("a", 1), rates.delay_s("b", 1)) == (1.0, 0.0)
