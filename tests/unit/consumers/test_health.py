"""What /live and /ready say."""

import pytest

from services.consumers.health import BUSY_S, LIVE_S, ConsumerHealth


class Clock:
    def __init__(self) -> None:
        self.now_s = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def health(clock: Clock) -> ConsumerHealth:
    return ConsumerHealth(clock)


def test_a_consumer_is_ready_once_it_has_its_share(health: ConsumerHealth, clock: Clock) -> None:
    """Not before the first assignment, and not between two."""
    assert ["no partitions assigned yet"] == health.ready().reasons
    health.assigned([0, 3])
    assert {"ok": True, "reasons": [], "partitions": [0, 3]} == health.ready().as_json()
    clock.now_s += 10
    health.revoked()
    assert ["rebalancing since 2023-11-14T22:13:30Z"] == health.ready().reasons


def test_a_member_without_a_share_is_ready_to_take_over(health: ConsumerHealth) -> None:
    """A group may have more members than partitions."""
    health.assigned([])
    assert health.ready().ok


def test_failures_say_since_when_and_the_last_reason(health: ConsumerHealth, clock: Clock) -> None:
    """Until all is well again."""
    health.assigned([0])
    health.failed("store unavailable", "Connection refused")
    clock.now_s += 60
    health.failed("store unavailable", "Timeout")
    expected = ["store unavailable since 2023-11-14T22:13:20Z (2 tries): Timeout"]
    assert expected == health.ready().reasons
    assert health.live().ok
    series = health.recovered()
    assert series is not None
    assert (("store unavailable",), 2) == (series.kinds, series.tries)
    assert health.ready().ok
    assert health.recovered() is None


def test_a_consumer_that_stops_is_not_ready(health: ConsumerHealth) -> None:
    """Nobody need wait for it."""
    health.assigned([0])
    health.stopping()
    assert ["stopping"] == health.ready().reasons


def test_silence_is_the_only_death(health: ConsumerHealth, clock: Clock) -> None:
    """A store that is away is no reason to restart the consumer; a loop that hangs is, and soon it is not ready."""
    health.assigned([0])
    clock.now_s += BUSY_S
    assert health.ready().ok
    clock.now_s += LIVE_S - BUSY_S
    assert health.live().ok
    assert ["no sign of life for 300 s"] == health.ready().reasons
    clock.now_s += 1
    assert ["no sign of life for 301 s"] == health.live().reasons
    health.alive()
    assert health.live().ok
