"""What follows from starts, readiness and deaths of workers, with a clock that the tests turn."""

import pytest

from services.ranking.process.worker_pool import CRASH_LOOP, MAX_PAUSE_S, Fleet, State


class Watched(Fleet):
    """Workers are numbered in the order in which they start."""

    def __init__(self, wanted: int) -> None:
        self.now_s, self.last = 0.0, 0
        super().__init__(wanted, lambda: self.now_s)

    def start_due(self) -> list[int]:
        """Start whom there is to start; returns them."""
        new = [self.last + 1 + n for n in range(self.due())]
        for pid in new:
            self.started(pid)
        self.last += len(new)
        return new

    def up(self) -> "Watched":
        """All ready."""
        for pid in self.start_due():
            self.became_ready(pid)
        return self


def test_as_many_are_started_as_are_wanted() -> None:
    """At the beginning, and no more."""
    fleet = Watched(3)
    assert [1, 2, 3] == fleet.start_due()
    assert [] == fleet.start_due()
    assert {State.STARTING: 3, State.READY: 0, State.DRAINING: 0} == fleet.counts()


def test_one_that_was_ready_is_replaced_at_once() -> None:
    """However often it happens."""
    fleet = Watched(2).up()
    for _ in range(20):
        fleet.gone(fleet.last, "killed by SIGKILL")
        assert 1 == len(fleet.start_due())
        fleet.became_ready(fleet.last)
    assert (20, False) == (fleet.deaths, fleet.crash_loop)


def test_those_that_die_before_they_are_ready_are_replaced_more_and_more_slowly() -> None:
    """Up to a bound; the first that gets ready starts anew."""
    fleet, pauses = Watched(1), []
    for _ in range(12):
        (pid,) = fleet.start_due()
        fleet.gone(pid, "ended with status 1")
        assert [] == fleet.start_due()
        pauses.append(fleet.next_start_s())
        fleet.now_s += fleet.next_start_s()
    assert [0.1, 0.2, 0.4, 0.8] == pytest.approx(pauses[:4])
    assert MAX_PAUSE_S == pytest.approx(pauses[-1])
    fleet.up()
    fleet.gone(fleet.last, "killed")
    assert 1 == len(fleet.start_due())
    fleet.gone(fleet.last, "ended")
    assert pytest.approx(0.1) == fleet.next_start_s()


def test_a_crash_loop_is_told() -> None:
    """Not ready, with the reason of the last death; alive all the same."""
    fleet = Watched(1)
    for _ in range(CRASH_LOOP):
        fleet.gone(fleet.start_due()[0], "ended with status 3")
        fleet.now_s += fleet.next_start_s()
    assert fleet.crash_loop
    report = fleet.ready()
    assert (False, ["no worker is ready", "the last 3 workers died before they were ready: ended with status 3"]) == (
        report.ok,
        report.reasons,
    )
    assert fleet.live().ok
    fleet.up()
    assert (True, []) == (fleet.ready().ok, fleet.ready().reasons)


def test_workers_that_serve_are_not_given_up_for_others_that_crash() -> None:
    """Ready, but the reason is told."""
    fleet = Watched(2).up()
    fleet.gone(1, "killed by SIGKILL")
    for _ in range(CRASH_LOOP):
        fleet.gone(fleet.start_due()[0], "ended with status 3")
        fleet.now_s += fleet.next_start_s()
    assert (True, 1) == (fleet.ready().ok, len(fleet.ready().reasons))
    assert (1, 2) == (fleet.ready().details["workers_ready"], fleet.ready().details["workers_wanted"])


def test_all_are_replaced_one_after_another() -> None:
    """Never fewer ready than wanted, never more than one in excess."""
    fleet = Watched(2).up()
    fleet.replace_all()
    order = []
    for _ in range(2):
        (new,) = fleet.start_due()
        assert fleet.to_drain() is None
        fleet.became_ready(new)
        old = fleet.to_drain()
        fleet.draining(old)
        assert [] == fleet.start_due()
        assert State.DRAINING == fleet.gone(old, "ended with status 0")
        order.append((old, new))
    assert [(1, 3), (2, 4)] == order
    assert ([], None, 0) == (fleet.start_due(), fleet.to_drain(), fleet.deaths)


def test_what_does_not_start_replaces_nothing() -> None:
    """The old ones go on."""
    fleet = Watched(2).up()
    fleet.replace_all()
    fleet.gone(fleet.start_due()[0], "ended with status 1")
    fleet.now_s += 60
    assert ([], None, 0) == (fleet.start_due(), fleet.to_drain(), fleet.replacing)
    assert {State.STARTING: 0, State.READY: 2, State.DRAINING: 0} == fleet.counts()


def test_a_death_meanwhile_is_made_good_before_anybody_drains() -> None:
    """Both the one that died and the extra one are started."""
    fleet = Watched(2).up()
    fleet.replace_all()
    (extra,) = fleet.start_due()
    fleet.gone(1, "killed by SIGKILL")
    (instead,) = fleet.start_due()
    fleet.became_ready(extra)
    assert fleet.to_drain() is None
    fleet.became_ready(instead)
    assert 2 == fleet.to_drain()


def test_nobody_is_started_after_the_stop() -> None:
    """And it is not ready."""
    fleet = Watched(1).up()
    fleet.stop()
    fleet.gone(1, "killed")
    assert ([], False) == (fleet.start_due(), fleet.ready().ok)
    assert "stopping" in fleet.ready().reasons
