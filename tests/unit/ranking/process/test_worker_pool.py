"""The worker pool after starts, readiness and exits of workers, with a manual clock."""

import pytest

from services.ranking.process.worker_pool import CRASH_LOOP, MAX_PAUSE_S, WorkerPool, WorkerState


class NumberedPool(WorkerPool):
    """A pool whose workers are numbered in the order in which they start."""

    def __init__(self, target: int) -> None:
        self.now_s, self.last = 0.0, 0
        super().__init__(target, lambda: self.now_s)

    def start_due(self) -> list[int]:
        """Start the workers that are due; returns them."""
        new = [self.last + 1 + n for n in range(self.workers_to_start())]
        for pid in new:
            self.on_started(pid)
        self.last += len(new)
        return new

    def start_all(self) -> "NumberedPool":
        """Start the pool and report all workers as ready."""
        for pid in self.start_due():
            self.on_ready(pid)
        return self


def counted(pool: WorkerPool) -> dict[WorkerState, int]:
    """The workers by state, without states that no worker is in."""
    return {state: number for state, number in pool.counts().items() if number}


def test_the_wanted_number_of_workers_is_started() -> None:
    """At the start, and no more."""
    pool = NumberedPool(3)
    assert [1, 2, 3] == pool.start_due()
    assert [] == pool.start_due()
    assert {
        WorkerState.STARTING: 3,
        WorkerState.READY: 0,
        WorkerState.STUCK: 0,
        WorkerState.DRAINING: 0,
    } == pool.counts()


def test_a_worker_that_was_ready_is_replaced_at_once() -> None:
    """Any number of times."""
    pool = NumberedPool(2).start_all()
    for _ in range(20):
        pool.on_exit(pool.last, "killed by SIGKILL")
        assert 1 == len(pool.start_due())
        pool.on_ready(pool.last)
    assert (20, False) == (pool.deaths, pool.crash_loop)


def test_workers_that_die_before_they_are_ready_are_replaced_with_backoff() -> None:
    """Up to a bound; a worker that becomes ready resets the pause."""
    pool, pauses = NumberedPool(1), []
    for _ in range(12):
        (pid,) = pool.start_due()
        pool.on_exit(pid, "ended with status 1")
        assert [] == pool.start_due()
        pauses.append(pool.next_start_s())
        pool.now_s += pool.next_start_s()
    assert [0.1, 0.2, 0.4, 0.8] == pytest.approx(pauses[:4])
    assert MAX_PAUSE_S == pytest.approx(pauses[-1])
    pool.start_all()
    pool.on_exit(pool.last, "killed")
    assert 1 == len(pool.start_due())
    pool.on_exit(pool.last, "ended")
    assert pytest.approx(0.1) == pool.next_start_s()


def test_a_crash_loop_is_reported() -> None:
    """The pool is not ready, with the reason of the last exit; it is still live."""
    pool = NumberedPool(1)
    for _ in range(CRASH_LOOP):
        pool.on_exit(pool.start_due()[0], "ended with status 3")
        pool.now_s += pool.next_start_s()
    assert pool.crash_loop
    report = pool.ready()
    assert (False, ["no worker is ready", "the last 3 workers died before they were ready: ended with status 3"]) == (
        report.ok,
        report.reasons,
    )
    assert pool.live().ok
    pool.start_all()
    assert (True, []) == (pool.ready().ok, pool.ready().reasons)


def test_the_pool_stays_ready_while_other_workers_crash() -> None:
    """It reports the reason."""
    pool = NumberedPool(2).start_all()
    pool.on_exit(1, "killed by SIGKILL")
    for _ in range(CRASH_LOOP):
        pool.on_exit(pool.start_due()[0], "ended with status 3")
        pool.now_s += pool.next_start_s()
    assert (True, 1) == (pool.ready().ok, len(pool.ready().reasons))
    assert (1, 2) == (pool.ready().details["workers_ready"], pool.ready().details["workers_wanted"])


def test_all_workers_are_replaced_one_after_another() -> None:
    """Never fewer ready workers than wanted, never more than one extra."""
    pool = NumberedPool(2).start_all()
    pool.replace_all()
    order = []
    for _ in range(2):
        (new,) = pool.start_due()
        assert pool.worker_to_drain() is None
        pool.on_ready(new)
        old = pool.worker_to_drain()
        pool.on_draining(old)
        assert [] == pool.start_due()
        assert WorkerState.DRAINING == pool.on_exit(old, "ended with status 0")
        order.append((old, new))
    assert [(1, 3), (2, 4)] == order
    assert ([], None, 0) == (pool.start_due(), pool.worker_to_drain(), pool.deaths)


def test_a_failed_start_replaces_no_worker() -> None:
    """The old workers continue."""
    pool = NumberedPool(2).start_all()
    pool.replace_all()
    pool.on_exit(pool.start_due()[0], "ended with status 1")
    pool.now_s += 60
    assert ([], None, 0) == (pool.start_due(), pool.worker_to_drain(), pool.replacing)
    assert {
        WorkerState.STARTING: 0,
        WorkerState.READY: 2,
        WorkerState.STUCK: 0,
        WorkerState.DRAINING: 0,
    } == pool.counts()


def test_a_dead_worker_is_replaced_before_another_drains() -> None:
    """A replacement of the dead worker and the extra worker are both started."""
    pool = NumberedPool(2).start_all()
    pool.replace_all()
    (extra,) = pool.start_due()
    pool.on_exit(1, "killed by SIGKILL")
    (replacement,) = pool.start_due()
    pool.on_ready(extra)
    assert pool.worker_to_drain() is None
    pool.on_ready(replacement)
    assert 2 == pool.worker_to_drain()


def test_no_worker_is_started_after_a_stop() -> None:
    """The pool is not ready."""
    pool = NumberedPool(1).start_all()
    pool.stop()
    pool.on_exit(1, "killed")
    assert ([], False) == (pool.start_due(), pool.ready().ok)
    assert "stopping" in pool.ready().reasons


def test_a_stuck_worker_is_not_ready_until_it_serves_again() -> None:
    """The others are; no worker is started in its place, and a rolling restart replaces it."""
    pool = NumberedPool(2).start_all()
    pool.on_stuck(1, "no ranking has ended")
    assert (True, ["1 of the workers stuck: no ranking has ended"]) == (pool.ready().ok, pool.ready().reasons)
    pool.on_stuck(2, "no ranking has ended")
    assert not pool.ready().ok
    assert [] == pool.start_due()
    pool.on_ready(2)
    assert pool.ready().ok
    pool.replace_all()
    (new,) = pool.start_due()
    pool.on_ready(new)
    assert 1 == pool.worker_to_drain()
