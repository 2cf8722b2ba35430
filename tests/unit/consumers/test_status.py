"""How groups stand, out of what Kafka says."""

from dataclasses import replace

from services.consumers.status import ABSENT, GroupMember, PartitionStatus, described, partition_status


def test_lag_counts_from_what_is_committed() -> None:
    """Or from the beginning of the log, where nothing is or where it was deleted since."""
    assert PartitionStatus(0, 40, 100, 60, 5.0) == partition_status(0, 40, (0, 100), 995.0, 1000.0)
    assert PartitionStatus(0, None, 100, 90, 5.0) == partition_status(0, None, (10, 100), 995.0, 1000.0)
    assert PartitionStatus(0, 4, 100, 90, 5.0) == partition_status(0, 4, (10, 100), 995.0, 1000.0)


def test_without_an_unread_record_there_is_no_lag() -> None:
    """Markers of transactions at the end of a log are not records; clocks that differ make no negative lag."""
    assert PartitionStatus(0, 99, 100, 0, 0.0) == partition_status(0, 99, (0, 100), None, 1000.0)
    assert 0.0 == partition_status(0, 99, (0, 100), 1001.0, 1000.0).lag_s


def test_groups_have_members_and_totals() -> None:
    """Records add up, the furthest behind counts."""
    assignment = {"assigned_partitions": [{"topic": "t", "partitions": [3, 1]}], "user_data": ""}
    answer = {
        "group_state": "Stable",
        "members": [
            {"member_id": "a", "client_host": "/10.0.0.1", "member_assignment": assignment},
            {"member_id": "b", "client_host": "/10.0.0.2", "member_assignment": b""},
        ],
    }
    group = described("item", "crossrec-item", "crossrec.items", answer)
    assert ("Stable", (GroupMember("a", "10.0.0.1", [1, 3]), GroupMember("b", "10.0.0.2", []))) == (
        group.state,
        group.members,
    )
    stand = [PartitionStatus(0, 1, 4, 3, 7.5), PartitionStatus(1, 9, 9, 0, 0.0), PartitionStatus(2, 0, 2, 2, 1.0)]
    group = replace(group, partitions=stand)
    assert (5, 7.5) == (group.lag_records, group.lag_s)
    assert (5, 7.5, 3) == (group.as_json()["lag_records"], group.as_json()["lag_s"], len(group.as_json()["partitions"]))


def test_groups_that_never_were_are_absent() -> None:
    """However Kafka puts it."""
    for answer in (None, {"group_state": "Dead", "members": []}):
        group = described("item", "crossrec-item", "crossrec.items", answer)
        assert (ABSENT, (), 0, 0.0) == (group.state, group.members, group.lag_records, group.lag_s)
