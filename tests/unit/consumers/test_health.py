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


def test_a_member_without_partitions_that_should_have_some_is_not_ready(health: ConsumerHealth) -> None:
    """Until it has some; a reserve, for which there are none, is ready."""
    health.on_assigned([])
    health.on_unassigned("no partitions assigned: t has 4")
    assert ["no partitions assigned: t has 4"] == health.ready().reasons
    health.on_unassigned("")
    assert health.ready().ok
    health.on_unassigned("no partitions assigned: t has 4")
    health.on_assigned([0])
    assert health.ready().ok


def test_a_partition_that_stands_is_not_ready(health: ConsumerHealth) -> None:
    """With its reason, until it is read again."""
    health.on_assigned([0, 1])
    health.on_stopped(["unreadable batch: t, partition 1"])
    assert ["unreadable batch: t, partition 1"] == health.ready().reasons
    assert health.live().ok
    health.on_stopped([])
    assert health.ready().ok


def test_records_that_expired_are_never_forgotten(health: ConsumerHealth) -> None:
    """Rows lack them until they are added; then the consumer is restarted."""
    health.on_assigned([0, 1])
    health.on_expired(1, 900)
    health.on_expired(1, 100)
    (reason,) = health.ready().reasons
    assert reason.startswith("partition 1: 1,000 records expired in Kafka before they were folded")
    health.on_recovered()
    health.on_assigned([0])
    assert not health.ready().ok


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
