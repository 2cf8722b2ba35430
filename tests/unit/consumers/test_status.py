"""Status of consumer groups: positions and lag."""

from services.consumers.status import GroupStatus, PartitionStatus, partition_status
from services.kafka.groups import ABSENT, GroupMember
from services.kafka.record_source import Record


def record(time_s: float, unreadable: str = "") -> Record:
    """The next record of a partition."""
    return Record("t", 0, 40, None, b"", time_s=time_s, unreadable=unreadable)


def test_a_partition_that_stands_says_why() -> None:
    """Its next record cannot be read."""
    found = partition_status(0, 40, (0, 100), record(995.0, "unreadable batch: codec zstd"), 1000.0)
    assert PartitionStatus(0, 40, 100, 60, 5.0, "unreadable batch: codec zstd") == found


def test_lag_counts_from_the_committed_offset() -> None:
    """Or from the beginning of the log, if nothing is committed or the committed records were deleted."""
    assert PartitionStatus(0, 40, 100, 60, 5.0) == partition_status(0, 40, (0, 100), record(995.0), 1000.0)
    assert PartitionStatus(0, None, 100, 90, 5.0) == partition_status(0, None, (10, 100), record(995.0), 1000.0)
    assert PartitionStatus(0, 4, 100, 90, 5.0) == partition_status(0, 4, (10, 100), record(995.0), 1000.0)


def test_without_an_unread_record_there_is_no_lag() -> None:
    """Transaction markers at the end of a log are not records; differing clocks give no negative lag."""
    assert PartitionStatus(0, 99, 100, 0, 0.0) == partition_status(0, 99, (0, 100), None, 1000.0)
    assert 0.0 == partition_status(0, 99, (0, 100), record(1001.0), 1000.0).lag_s


def test_groups_have_totals() -> None:
    """The sum of the records, and the largest lag in seconds."""
    partitions = [PartitionStatus(0, 1, 4, 3, 7.5), PartitionStatus(1, 9, 9, 0, 0.0), PartitionStatus(2, 0, 2, 2, 1.0)]
    group = GroupStatus("item", "crossrec-item", "crossrec.items", "Stable", [GroupMember("a", "h", [0])], partitions)
    assert (5, 7.5) == (group.lag_records, group.lag_s)
    assert (5, 7.5, 3) == (group.as_json()["lag_records"], group.as_json()["lag_s"], len(group.as_json()["partitions"]))


def test_absent_groups_have_no_lag() -> None:
    """They have neither members nor partitions."""
    group = GroupStatus("item", "crossrec-item", "crossrec.items", ABSENT, (), ())
    assert (0, 0.0) == (group.lag_records, group.lag_s)
