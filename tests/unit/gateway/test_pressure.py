"""The budget of pending records and the rate per client."""

import threading

import pytest

from services.gateway.pressure import PendingBudget, RateLimits


class Clock:
    """A clock that tests set."""

    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.mark.parametrize(("size", "records"), [(5, 1), (1, 3)], ids=["bytes", "records"])
def test_records_beyond_a_bound_are_not_accepted(size: int, records: int) -> None:
    """Bytes and records are both bounded; released records make room again."""
    budget = PendingBudget(max_bytes=10, max_records=4)
    assert budget.take(6, 2)
    assert not budget.take(size, records)
    assert budget.pending == (6, 2)
    budget.give_back(6, 2)
    assert budget.take(size, records)


def test_a_batch_larger_than_the_budget_is_accepted_alone() -> None:
    """Otherwise it would never be accepted."""
    budget = PendingBudget(max_bytes=10, max_records=4)
    assert budget.take(100, 50)
    assert not budget.take(1, 1)
    budget.give_back(100, 50)
    assert budget.take(1, 1)
    assert not budget.take(100, 50)


def test_a_waiting_batch_is_accepted_as_soon_as_there_is_room() -> None:
    budget = PendingBudget(max_bytes=10, max_records=4)
    budget.take(10, 1)
    taken: list[bool] = []
    waiter = threading.Thread(target=lambda: taken.append(budget.take(10, 1, timeout_s=30.0)))
    waiter.start()
    budget.give_back(10)
    waiter.join(300)
    assert taken == [True]
    assert budget.pending == (10, 1)


def test_a_waiting_batch_can_be_cancelled() -> None:
    budget, cancelled, taken = PendingBudget(max_bytes=10, max_records=4), threading.Event(), []
    budget.take(10, 1)
    waiter = threading.Thread(target=lambda: taken.append(budget.take(10, 1, 30.0, cancelled.is_set)))
    waiter.start()
    cancelled.set()
    budget.wake()
    waiter.join(300)
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


def test_a_request_larger_than_a_burst_needs_a_full_bucket_and_delays_the_next() -> None:
    """Otherwise a batch of a thousand would never be accepted with a burst of a hundred."""
    clock = Clock()
    rates = RateLimits(10.0, 5, clock_s=clock)
    assert rates.delay_s("a", 25) == 0.0
    assert rates.delay_s("a", 1) == 2.1


def test_without_a_rate_nothing_is_limited() -> None:
    """No client has a bucket."""
    rates = RateLimits(0.0, 1)
    assert [rates.delay_s("a", 1000) for _ in range(3)] == [0.0] * 3
    assert len(rates) == 0


def test_the_number_of_clients_with_a_bucket_is_bounded() -> None:
    """The least recently seen client is evicted, and gets a new bucket."""
    rates = RateLimits(1.0, 1, max_clients=2, clock_s=Clock())
    for client in ("a", "b", "a", "c"):
        rates.delay_s(client, 1)
    assert len(rates) == 2
    assert (rates.delay_s("a", 1), rates.delay_s("b", 1)) == (1.0, 0.0)
