"""Consumer groups that exist already."""

from services.kafka.group_rules import judge_group
from services.kafka.groups import ABSENT, GroupDescription

ENDS = {0: 100, 1: 0}


def test_a_group_of_consumers_within_its_topic_is_usable() -> None:
    """So is one that does not exist yet."""
    assert [] == judge_group("g", GroupDescription("Stable", (), "consumer"), "t", {0: 100, 1: 0}, ENDS)
    assert [] == judge_group("g", GroupDescription(ABSENT, ()), "t", {}, ENDS)


def test_a_group_of_something_else_is_refused() -> None:
    """Consumers cannot join it."""
    (wrong,) = judge_group("g", GroupDescription("Stable", (), "connect"), "t", {}, ENDS)
    assert "group g is one of connect, not of consumers: set consumers.group_prefix" == wrong


def test_offsets_that_the_topic_does_not_have_are_refused() -> None:
    """Consumers would wait there, or begin anew without a word."""
    beyond, absent = judge_group("g", GroupDescription("Empty", (), "consumer"), "t", {0: 101, 7: 1}, ENDS)
    assert beyond.startswith("group g is at offset 101 of t, partition 0, which ends at 100: ")
    assert "group g has an offset of partition 7, which t does not have" == absent
