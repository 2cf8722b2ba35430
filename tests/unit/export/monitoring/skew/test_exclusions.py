"""Which differences are no skew: told by positions for a user's own features, by times for what all users add up to."""

import pytest

from export.monitoring.served_log import ObservedEvent
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
from tests.unit.export.monitoring.skew.made import event, record

SETTLE_S = 5.0


def judged(events: list[ObservedEvent], *, in_data: bool = True, epoch: int = 1) -> RequestExclusions:
    keys = {event_keys(each)[0] for each in events} if in_data else set()
    return SkewExclusions(events, keys, 1, SETTLE_S).circumstances(record(epoch=epoch))


@pytest.mark.parametrize(
    ("happened", "user", "shared"),
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
def test_events_are_told_apart_by_position_and_time(happened: ObservedEvent, user: set[str], shared: set[str]) -> None:
    """The request is about 1000 and was answered at 1010, when the row of ann went up to offset 5."""
    assert RequestExclusions(frozenset(user), frozenset(shared)) == judged([happened])


def test_events_that_the_data_lacks_are_named_if_the_server_knew_them() -> None:
    """An event that neither side knew changes nothing."""
    found = judged([event(5, 900, 901)], in_data=False)
    assert RequestExclusions(frozenset({NOT_IN_DATA}), frozenset({NOT_IN_DATA})) == found
    assert RequestExclusions(frozenset(), frozenset()) == judged([event(6, 900, 1011)], in_data=False)


@pytest.mark.parametrize("time_ms", [900_123, 900_124])
def test_an_event_is_known_though_the_data_has_whole_milliseconds(time_ms: int) -> None:
    """Cut off or rounded up."""
    happened = event(5, 900.1236, 901)
    known = {("ann", "tv", happened.item, "click", time_ms)}
    assert frozenset() == SkewExclusions([happened], known, 1, SETTLE_S).circumstances(record()).user


def test_without_events_nothing_speaks_against_a_request() -> None:
    """A topic that holds nothing any more."""
    assert RequestExclusions(frozenset(), frozenset()) == judged([])


@pytest.mark.parametrize(("epoch", "expected"), [(-1, set()), (0, set()), (1, set()), (2, {OTHER_EPOCH})])
def test_positions_of_another_topic_say_nothing(epoch: int, expected: set[str]) -> None:
    """-1: there was no row; 0: it came from a backfill; else the topic was re-created in between."""
    assert frozenset(expected) == judged([], epoch=epoch).user
