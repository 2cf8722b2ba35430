"""Admission and slots, with real threads and fixed random numbers."""

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from services.errors import DeadlinePassed, InvalidRequest, Overloaded
from services.ranking.admission.admission import PRIORITY, AdmissionController, Priority, parse_priority
from services.ranking.admission.concurrency_limit import ConcurrencyLimit
from tests.waiting import wait_until

INTERACTIVE, BATCH = Priority.INTERACTIVE, Priority.BATCH
LONG_S = 1e9


def admission(slots: int = 1, most: int = 8) -> AdmissionController:
    """With the limit at its upper bound."""
    return AdmissionController(slots, ConcurrencyLimit(slots, most), draw=lambda: 0.5)


class Queue:
    """Requests that arrive one after another while the only slot is taken, and record when they get it."""

    def __init__(self, tried: AdmissionController, pool: ThreadPoolExecutor) -> None:
        self._tried, self._pool, self.order = tried, pool, list[str]()

    def come(self, name: str, priority: Priority = INTERACTIVE, time_left_s: float = LONG_S) -> "Future[None]":
        admitted = self._tried.admitted
        future = self._pool.submit(self._take, name, priority, time_left_s)
        wait_until(lambda: self._tried.admitted > admitted or future.done())
        return future

    def _take(self, name: str, priority: Priority, time_left_s: float) -> None:
        with self._tried.admit(priority, time_left_s):
            self.order.append(name)


def test_slots_go_in_order_of_arrival_and_interactive_first() -> None:
    """No request overtakes an earlier one of the same priority."""
    tried = admission()
    with ThreadPoolExecutor(4) as pool:
        queue = Queue(tried, pool)
        with tried.admit(INTERACTIVE, LONG_S):
            queue.come("batch", BATCH)
            for name in ("first", "second", "third"):
                queue.come(name)
    assert ["first", "second", "third", "batch"] == queue.order
    assert 0 == tried.admitted


def test_batch_is_rejected_first() -> None:
    """At half of the limit; interactive ones are admitted up to all of it. Each gets a retry delay."""
    tried = admission(slots=8)
    with ExitStack() as taken:
        for _ in range(4):
            taken.enter_context(tried.admit(BATCH, LONG_S))
        with (
            pytest.raises(Overloaded, match=r"4 requests .* another batch") as refused,
            tried.admit(BATCH, LONG_S),
        ):
            pass
        assert 1.0 == refused.value.retry_after_s
        for _ in range(4):
            taken.enter_context(tried.admit(INTERACTIVE, LONG_S))
        with pytest.raises(Overloaded, match="8 requests") as refused, tried.admit(INTERACTIVE, LONG_S):
            pass
        assert 0.1 == refused.value.retry_after_s
    assert 0 == tried.admitted
    with tried.admit(BATCH, LONG_S):
        assert 1 == tried.admitted


def test_a_request_that_waits_beyond_the_deadline_is_given_up() -> None:
    """It leaves the queue, and the next one gets the slot."""
    tried = admission()
    with ThreadPoolExecutor(2) as pool:
        queue = Queue(tried, pool)
        with tried.admit(INTERACTIVE, LONG_S):
            late = queue.come("late", time_left_s=0.01)
            queue.come("patient")
            with pytest.raises(DeadlinePassed, match="waited for a slot"):
                late.result()
            assert 2 == tried.admitted
    assert ["patient"] == queue.order


def test_a_request_that_cannot_be_in_time_is_given_up_at_once() -> None:
    """By the mean ranking time; but a request that need not wait runs, so that the mean is updated."""
    now_s = [0.0]
    tried = AdmissionController(1, ConcurrencyLimit(1, 8), lambda: now_s[0])
    for _ in range(100):
        with tried.admit(INTERACTIVE, 0.1):
            now_s[0] += 1.0
    with ThreadPoolExecutor(1) as pool, tried.admit(INTERACTIVE, 0.1), pytest.raises(DeadlinePassed):
        Queue(tried, pool).come("hopeless", time_left_s=0.4).result()


def test_an_error_while_ranking_releases_the_slot() -> None:
    """Whatever it is."""
    tried = admission(most=1)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError), tried.admit(INTERACTIVE, LONG_S):
            raise ZeroDivisionError
    assert 0 == tried.admitted


def test_many_threads_lose_no_slot() -> None:
    """Never more at the same time than slots, and all are free at the end."""
    tried, lock, at_once, most = admission(slots=3, most=6), threading.Lock(), [0], [0]

    def take(number: int) -> str:
        try:
            with tried.admit(BATCH if number % 3 else INTERACTIVE, 0.0002 * (number % 7)):
                with lock:
                    at_once[0] += 1
                    most[0] = max(most[0], at_once[0])
                with lock:
                    at_once[0] -= 1
        except (Overloaded, DeadlinePassed) as error:
            return type(error).__name__
        return "ranked"

    with ThreadPoolExecutor(12) as pool:
        outcomes = set(pool.map(take, range(5000)))
    assert "ranked" in outcomes
    assert most[0] <= 3
    assert 0 == tried.admitted
    with ExitStack() as all_turns:
        for _ in range(3):
            all_turns.enter_context(tried.admit(INTERACTIVE, 0.0))


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ((), Priority.INTERACTIVE),
        ((("user-agent", "x"),), Priority.INTERACTIVE),
        (((PRIORITY, "interactive"),), Priority.INTERACTIVE),
        ((("user-agent", "x"), (PRIORITY, "batch")), Priority.BATCH),
    ],
)
def test_the_default_is_interactive(metadata, expected) -> None:
    """Other keys are ignored."""
    assert expected == parse_priority(metadata)


@pytest.mark.parametrize("value", ["", "Batch", "urgent", b"batch"])
def test_an_unknown_priority_is_named(value) -> None:
    """With the key and the known priorities."""
    with pytest.raises(InvalidRequest, match=r"x-crossrec-priority: .* is not one of interactive, batch"):
        parse_priority(((PRIORITY, value),))
