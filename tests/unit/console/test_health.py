"""Health of the consumers, as tables."""

from services.console.health import group_views, newest_event
from services.consumers.status import GroupMember, GroupStatus, PartitionStatus

MEMBER = GroupMember("a", "127.0.0.1", [0, 1])


def test_each_partition_is_a_row() -> None:
    partitions = [PartitionStatus(0, 1200, 1500, 300, 2.5), PartitionStatus(1, None, 0, 0, 0.0)]
    (view,) = group_views([GroupStatus("behavior", "g", "t", "Stable", [MEMBER], partitions)])
    assert [("0", "1,200", "1,500", "300", "2.5"), ("1", "-", "0", "0", "0.0")] == list(view.rows)
    assert ("behavior", "Stable", 1, "300 records, 2.5 s") == (view.kind, view.state, view.members, view.lag)
    assert view.fine


def test_a_group_without_members_or_long_behind_is_not_fine() -> None:
    late = [PartitionStatus(0, 0, 9, 9, 61.0)]
    groups = [GroupStatus("item", "g", "t", "absent", [], []), GroupStatus("item", "g", "t", "Stable", [MEMBER], late)]
    assert [False, False] == [view.fine for view in group_views(groups)]


def test_ages_have_a_readable_unit() -> None:
    assert "no event is known" == newest_event(0, 1_500_000_000)
    texts = {ago: newest_event(1_500_000_000, 1_500_000_000 + ago) for ago in (5, 600, 7200, 864_000)}
    assert ["5 s ago", "10 minutes ago", "2 hours ago", "10 days ago"] == [
        text.split(", ")[1] for text in texts.values()
    ]
