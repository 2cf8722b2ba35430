"""Exclusions: by offset for a user's own features, by arrival time for features that sum over all users."""

import pytest

from export.monitoring.served_log import USER_UPDATE, ObservedEvent
from export.monitoring.skew.exclusions import (
    AHEAD,
    IN_FLIGHT,
    LATE,
    NOT_IN_DATA,
    OTHER_EPOCH,
    RequestExclusions,
    SkewExclusions,
    event_keys,
)
from tests.unit.export.monitoring.skew.skew_records import event, record

SETTLE_S = 5.0


def exclusions_of(events: list[ObservedEvent], *, in_data: bool = True, epoch: int = 1) -> RequestExclusions:
    keys = {event_keys(each)[0] for each in events} if in_data else set()
    return SkewExclusions(events, keys, 1, SETTLE_S).exclude(record(epoch=epoch))


@pytest.mark.parametrize(
    ("observed", "user", "shared"),
    [
        (event(5, 900, 901), set(), set()),
        (event(6, 900, 901), {IN_FLIGHT}, set()),
        (event(6, 900, 1007), {IN_FLIGHT}, {IN_FLIGHT}),
        (event(5, 900, 1007), set(), {IN_FLIGHT}),
        (event(6, 900, 1011), {LATE}, {LATE}),
        (event(5, 1000, 1001), {AHEAD}, {AHEAD}),
        (event(6, 1000, 1011), set(), set()),
        (event(6, 1000, 1001), set(), {AHEAD}),
        (event(6, 900, 901, "bob"), set(), set()),
        (event(6, 900, 1011, "bob"), set(), {LATE}),
    ],
)
def test_events_are_classified_by_position_and_time(observed: ObservedEvent, user: set[str], shared: set[str]) -> None:
    """The request's time is 1000, its answer's 1010; ann's row included events up to offset 5."""
    assert RequestExclusions(frozenset(user), frozenset(shared)) == exclusions_of([observed])


def test_events_missing_from_the_data_are_reported_if_the_server_knew_them() -> None:
    """An event that neither side knew changes nothing."""
    found = exclusions_of([event(5, 900, 901)], in_data=False)
    assert RequestExclusions(frozenset({NOT_IN_DATA}), frozenset({NOT_IN_DATA})) == found
    assert RequestExclusions(frozenset(), frozenset()) == exclusions_of([event(6, 900, 1011)], in_data=False)


@pytest.mark.parametrize("time_ms", [900_123, 900_124])
def test_an_event_is_known_though_the_data_has_whole_milliseconds(time_ms: int) -> None:
    """Microseconds cut off or rounded up."""
    observed = event(5, 900.1236, 901)
    known = {("ann", "tv", observed.item, "click", time_ms)}
    assert frozenset() == SkewExclusions([observed], known, 1, SETTLE_S).exclude(record()).user


def test_attributes_that_the_data_lacks_exclude_the_users_features_alone() -> None:
    """They are in no sum over all users."""
    update = ObservedEvent("ann", "", "", USER_UPDATE, 900.0, "", event(5, 900, 901).partition, 5, 901.0)
    assert RequestExclusions(frozenset({NOT_IN_DATA}), frozenset()) == exclusions_of([update], in_data=False)
    assert RequestExclusions(frozenset(), frozenset()) == exclusions_of([update])


def test_without_events_nothing_is_excluded() -> None:
    """The topic is empty."""
    assert RequestExclusions(frozenset(), frozenset()) == exclusions_of([])


@pytest.mark.parametrize(("epoch", "expected"), [(-1, set()), (0, set()), (1, set()), (2, {OTHER_EPOCH})])
def test_positions_of_another_topic_epoch_exclude_the_user(epoch: int, expected: set[str]) -> None:
    """-1: no row; 0: a backfilled row; otherwise the topic was re-created."""
    assert frozenset(expected) == exclusions_of([], epoch=epoch).user
