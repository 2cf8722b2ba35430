"""Liveness and readiness of a consumer."""

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


def test_a_consumer_is_ready_once_partitions_are_assigned(health: ConsumerHealth, clock: Clock) -> None:
    """Not before the first assignment, and not between two."""
    assert ["no partitions assigned yet"] == health.ready().reasons
    health.on_assigned([0, 3])
    assert {"ok": True, "reasons": [], "partitions": [0, 3]} == health.ready().as_json()
    clock.now_s += 10
    health.on_revoked()
    assert ["rebalancing since 2023-11-14T22:13:30Z"] == health.ready().reasons


def test_a_member_without_partitions_is_ready(health: ConsumerHealth) -> None:
    """A group may have more members than partitions."""
    health.on_assigned([])
    assert health.ready().ok


def test_failures_are_reported_with_their_start_and_the_last_reason(health: ConsumerHealth, clock: Clock) -> None:
    """Until an attempt succeeds."""
    health.on_assigned([0])
    health.on_failure("store unavailable", "Connection refused")
    clock.now_s += 60
    health.on_failure("store unavailable", "Timeout")
    expected = ["store unavailable since 2023-11-14T22:13:20Z (2 failures): Timeout"]
    assert expected == health.ready().reasons
    assert health.live().ok
    series = health.on_recovered()
    assert series is not None
    assert (("store unavailable",), 2) == (series.kinds, series.failures)
    assert health.ready().ok
    assert health.on_recovered() is None


def test_a_stopping_consumer_is_not_ready(health: ConsumerHealth) -> None:
    """It folds no further batches."""
    health.on_assigned([0])
    health.on_stopping()
    assert ["stopping"] == health.ready().reasons


def test_only_a_hung_consumer_is_not_live(health: ConsumerHealth, clock: Clock) -> None:
    """An unavailable store is no reason to restart the consumer; a hung loop is, and makes it unready sooner."""
    health.on_assigned([0])
    clock.now_s += BUSY_S
    assert health.ready().ok
    clock.now_s += LIVE_S - BUSY_S
    assert health.live().ok
    assert ["no activity for 300 s"] == health.ready().reasons
    clock.now_s += 1
    assert ["no activity for 301 s"] == health.live().reasons
    health.on_activity()
    assert health.live().ok
