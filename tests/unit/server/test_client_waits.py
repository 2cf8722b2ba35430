"""Waits for clients: their number, their end, and whose wait ends for whom. The clock is the test's."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from services.errors import Overloaded
from services.server.client_waits import ClientWaits, WaitLimits, cancelled_calls_log
from tests.waiting import wait_until


class Clock:
    """A clock that the test moves."""

    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def waits(clock: Clock, most: int = 4, grace_s: float = 0.1, **more: float) -> ClientWaits:
    return ClientWaits(
        WaitLimits(most, timeout_s=5.0, grace_s=grace_s, **more),  # type: ignore[arg-type]
        "message",
        cancelled_calls_log(),
        clock,
    )


def begin(waits: ClientWaits, ended: list[str], *clients: str) -> None:
    """Begin a wait for each client; `ended` gets those whose calls end."""
    for client in clients:
        waits.begin(client, lambda client=client: ended.append(client))  # type: ignore[misc]


def test_a_wait_ends_after_its_time_limit() -> None:
    """Older ones only, each once."""
    clock, ended = Clock(), list[str]()
    made = waits(clock)
    begin(made, ended, "old")
    clock.now_s = 4.0
    begin(made, ended, "young")
    clock.now_s = 5.0
    assert made.end_overdue()
    assert (["old"], 1) == (ended, len(made))
    made.end_overdue()
    assert ["old"] == ended


def test_a_wait_that_is_over_is_not_ended() -> None:
    clock, ended = Clock(), list[str]()
    made = waits(clock)
    with made.wait("quick", lambda: ended.append("quick")):
        assert 1 == len(made)
    clock.now_s = 99.0
    assert not made.end_overdue()
    assert [] == ended


def test_without_room_the_oldest_wait_of_who_has_most_ends() -> None:
    """At once if that client has clearly more waits than the one that comes."""
    clock, ended = Clock(), list[str]()
    made = waits(clock)
    begin(made, ended, "other", "greedy", "greedy", "greedy", "new")
    assert ["greedy"] == ended
    assert 4 == len(made)


def test_between_equals_a_wait_ends_only_after_its_grace() -> None:
    """Before, the one that comes waits for room; when none comes, it is rejected with a delay."""
    clock, ended = Clock(), list[str]()
    made = waits(clock, patience_s=0.0)
    begin(made, ended, "a", "b", "c", "d")
    with pytest.raises(Overloaded, match="the message of too many calls"):
        made.begin_in_turn("e", ended.clear)
    clock.now_s = 0.1
    made.begin_in_turn("e", ended.clear)
    assert ["a"] == ended


def test_clients_of_whom_a_wait_ended_well_go_before_new_ones() -> None:
    """At once, however few waits a new one has; until a wait for them has to be ended."""
    clock, ended = Clock(), list[str]()
    made = waits(clock)
    made.end(made.begin("known", ended.clear), well=True)
    begin(made, ended, "known", "a", "b", "c")
    made.begin_in_turn("known", lambda: ended.append("known"))
    assert ["a"] == ended
    clock.now_s = 0.5
    begin(made, ended, "d")
    assert ["a", "b"] == ended
    clock.now_s = 5.0
    made.end_overdue()
    assert "known" not in made._proven


def test_new_clients_displace_known_ones_later() -> None:
    """When these, too, send nothing for long."""
    clock, ended = Clock(), list[str]()
    made = waits(clock, most=1, patience_s=0.0)
    made.end(made.begin("known", ended.clear), well=True)
    begin(made, ended, "known")
    clock.now_s = 0.9
    with pytest.raises(Overloaded):
        made.begin_in_turn("new", ended.clear)
    clock.now_s = 1.0
    made.begin_in_turn("new", ended.clear)
    assert ["known"] == ended


def test_a_wait_begins_when_another_is_over() -> None:
    """Nobody's call ends for it."""
    ended = list[str]()
    made = waits(Clock(), most=1, patience_s=30.0)
    begun, over = threading.Event(), threading.Event()

    def hold() -> None:
        with made.wait("first", lambda: ended.append("first")):
            begun.set()
            over.wait(300)

    def follow() -> bool:
        made.end(made.begin_in_turn("second", lambda: ended.append("second")))
        return True

    with ThreadPoolExecutor(2) as pool:
        pool.submit(hold)
        assert begun.wait(300)
        second = pool.submit(follow)
        wait_until(lambda: made._queued == 1)
        over.set()
        assert second.result(300)
    assert [] == ended


def test_threads_that_wait_for_room_are_bounded() -> None:
    made = waits(Clock(), most=1, most_queued=0, patience_s=30.0)
    begin(made, [], "first")
    with pytest.raises(Overloaded):
        made.begin_in_turn("second", lambda: None)


def test_waits_are_ended_without_being_asked() -> None:
    """By a thread that ends when nothing is waited for."""
    ended = threading.Event()
    made = ClientWaits(WaitLimits(4, timeout_s=0.01), "message", cancelled_calls_log())
    made.begin("silent", ended.set)
    assert ended.wait(300)
    wait_until(lambda: not made._watched)
