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
    """A controller with the limit at its upper bound."""
    return AdmissionController(slots, ConcurrencyLimit(slots, most), draw=lambda: 0.5)


class Queue:
    """Requests that arrive one after another while the only slot is taken, and record the order of admission."""

    def __init__(self, controller: AdmissionController, pool: ThreadPoolExecutor) -> None:
        self._controller, self._pool, self.order = controller, pool, list[str]()

    def arrive(self, name: str, priority: Priority = INTERACTIVE, time_left_s: float = LONG_S) -> "Future[None]":
        admitted = self._controller.admitted
        future = self._pool.submit(self._take, name, priority, time_left_s)
        wait_until(lambda: self._controller.admitted > admitted or future.done())
        return future

    def _take(self, name: str, priority: Priority, time_left_s: float) -> None:
        with self._controller.admit(priority, time_left_s):
            self.order.append(name)


def test_slots_go_in_order_of_arrival_and_interactive_first() -> None:
    """No request overtakes an earlier one of the same priority."""
    controller = admission()
    with ThreadPoolExecutor(4) as pool:
        queue = Queue(controller, pool)
        with controller.admit(INTERACTIVE, LONG_S):
            queue.arrive("batch", BATCH)
            for name in ("first", "second", "third"):
                queue.arrive(name)
    assert ["first", "second", "third", "batch"] == queue.order
    assert 0 == controller.admitted


def test_batch_is_rejected_first() -> None:
    """At half of the limit; interactive requests are admitted up to the limit. Each rejection has a retry delay."""
    controller = admission(slots=8)
    with ExitStack() as taken:
        for _ in range(4):
            taken.enter_context(controller.admit(BATCH, LONG_S))
        with (
            pytest.raises(Overloaded, match=r"4 requests .* another batch") as refused,
            controller.admit(BATCH, LONG_S),
        ):
            pass
        assert 1.0 == refused.value.retry_after_s
        for _ in range(4):
            taken.enter_context(controller.admit(INTERACTIVE, LONG_S))
        with pytest.raises(Overloaded, match="8 requests") as refused, controller.admit(INTERACTIVE, LONG_S):
            pass
        assert 0.1 == refused.value.retry_after_s
    assert 0 == controller.admitted
    with controller.admit(BATCH, LONG_S):
        assert 1 == controller.admitted


def test_a_request_that_waits_beyond_its_deadline_is_dropped() -> None:
    """It leaves the queue, and the next one gets the slot."""
    controller = admission()
    with ThreadPoolExecutor(2) as pool:
        queue = Queue(controller, pool)
        with controller.admit(INTERACTIVE, LONG_S):
            late = queue.arrive("late", time_left_s=0.01)
            queue.arrive("patient")
            with pytest.raises(DeadlinePassed, match="waited for a slot"):
                late.result()
            assert 2 == controller.admitted
    assert ["patient"] == queue.order


def test_a_request_that_cannot_be_in_time_is_dropped_at_once() -> None:
    """Decided by the mean ranking time; a request that need not wait runs, so that the mean is updated."""
    now_s = [0.0]
    controller = AdmissionController(1, ConcurrencyLimit(1, 8), lambda: now_s[0])
    for _ in range(100):
        with controller.admit(INTERACTIVE, 0.1):
            now_s[0] += 1.0
    with ThreadPoolExecutor(1) as pool, controller.admit(INTERACTIVE, 0.1), pytest.raises(DeadlinePassed):
        Queue(controller, pool).arrive("hopeless", time_left_s=0.4).result()


def test_an_error_while_ranking_releases_the_slot() -> None:
    """Any error."""
    controller = admission(most=1)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError), controller.admit(INTERACTIVE, LONG_S):
            raise ZeroDivisionError
    assert 0 == controller.admitted


def test_many_threads_lose_no_slot() -> None:
    """Never more requests at the same time than slots, and all slots are free at the end."""
    controller, lock, at_once, most = admission(slots=3, most=6), threading.Lock(), [0], [0]

    def take(number: int) -> str:
        try:
            with controller.admit(BATCH if number % 3 else INTERACTIVE, 0.0002 * (number % 7)):
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
    assert 0 == controller.admitted
    with ExitStack() as all_slots:
        for _ in range(3):
            all_slots.enter_context(controller.admit(INTERACTIVE, 0.0))


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
    """The error names the key and the known priorities."""
    with pytest.raises(InvalidRequest, match=r"x-crossrec-priority: .* is not one of interactive, batch"):
        parse_priority(((PRIORITY, value),))


def test_at_the_limit_the_client_with_most_requests_gives_way() -> None:
    """Its newest request that waits is rejected; one that has a slot is ranked."""
    controller = admission(slots=1, most=4)
    with ThreadPoolExecutor(5) as pool, ExitStack() as held:
        held.enter_context(controller.admit(INTERACTIVE, LONG_S, "greedy"))
        queued = [pool.submit(admitted, controller, "greedy", INTERACTIVE) for _ in range(3)]
        wait_until(lambda: 4 == controller.admitted)
        modest = pool.submit(admitted, controller, "modest", INTERACTIVE)
        wait_until(lambda: any(each.done() for each in queued))
        (displaced,) = [each for each in queued if each.done()]
        with pytest.raises(Overloaded):
            displaced.result()
        held.close()
        assert modest.result(300)
        assert [True, True] == [each.result(300) for each in queued if each is not displaced]
    assert 0 == controller.admitted
    assert {} == controller._by_client


def test_between_equal_clients_the_last_is_rejected() -> None:
    """So is one whose lead is small, and a batch request displaces no interactive one."""
    controller = admission(slots=1, most=2)
    with ThreadPoolExecutor(2) as pool, ExitStack() as held:
        held.enter_context(controller.admit(INTERACTIVE, LONG_S, "a"))
        queued = pool.submit(admitted, controller, "b", INTERACTIVE)
        wait_until(lambda: 2 == controller.admitted)
        for client, priority in (("a", INTERACTIVE), ("b", INTERACTIVE), ("c", INTERACTIVE), ("c", BATCH)):
            with pytest.raises(Overloaded), controller.admit(priority, LONG_S, client):
                pass
        held.close()
        assert queued.result(300)


def test_a_batch_request_displaces_batch_requests_only() -> None:
    controller = admission(slots=1, most=8)
    with ThreadPoolExecutor(4) as pool, ExitStack() as held:
        held.enter_context(controller.admit(INTERACTIVE, LONG_S, "a"))
        interactive = [pool.submit(admitted, controller, "a", INTERACTIVE) for _ in range(3)]
        wait_until(lambda: 4 == controller.admitted)
        with pytest.raises(Overloaded), controller.admit(BATCH, LONG_S, "b"):
            pass
        held.close()
        assert [True] * 3 == [each.result(300) for each in interactive]


def admitted(controller: AdmissionController, client: str, priority: Priority) -> bool:
    with controller.admit(priority, LONG_S, client):
        return True


def test_slots_that_are_never_given_back_are_noticed() -> None:
    """Not while one is free, and not while any request ends."""
    clock = [0.0]
    controller = AdmissionController(2, ConcurrencyLimit(2, 8), clock=lambda: clock[0])
    with controller.admit(INTERACTIVE, LONG_S):
        clock[0] = 50.0
        assert 0.0 == controller.stalled_s
        with controller.admit(INTERACTIVE, LONG_S):
            clock[0] = 60.0
            assert 10.0 == controller.stalled_s
        assert 0.0 == controller.stalled_s
