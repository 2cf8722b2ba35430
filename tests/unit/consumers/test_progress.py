"""A consumer's position and lag."""

from services.consumers.progress import ConsumerProgress, PartitionLag
from services.kafka.record_source import Record


def record(partition: int, offset: int, time_s: float) -> Record:
    return Record("crossrec.behavior", partition, offset, b"u", b"v", time_s=time_s)


def test_lag_includes_the_current_batch() -> None:
    """Lag counts from the first record of the batch, in records up to the end and in seconds since its append."""
    progress = ConsumerProgress()
    batch = [record(0, 5, 100.0), record(0, 6, 101.0), record(1, 9, 90.0)]
    progress.on_positions({0: (7, 20), 1: (10, 10), 2: (3, 3)})
    progress.on_polled(batch)
    assert {0: PartitionLag(15, 10.0), 1: PartitionLag(1, 20.0), 2: PartitionLag(0, 0.0)} == progress.lags(110.0)
    progress.on_committed(batch[:1])
    assert {0: PartitionLag(14, 9.0), 1: PartitionLag(1, 20.0), 2: PartitionLag(0, 0.0)} == progress.lags(110.0)
    progress.on_committed(batch[1:])
    assert {0: PartitionLag(13, 0.0), 1: PartitionLag(0, 0.0), 2: PartitionLag(0, 0.0)} == progress.lags(110.0)
    assert 101.0 == progress.newest_committed_s


def test_the_lag_in_seconds_grows_while_nothing_is_committed() -> None:
    """Until the batch is dropped."""
    progress = ConsumerProgress()
    progress.on_positions({0: (7, 20)})
    progress.on_polled([record(0, 6, 100.0)])
    assert [1.0, 500.0] == [progress.lags(now_s)[0].seconds for now_s in (101.0, 600.0)]
    progress.on_dropped()
    assert {0: PartitionLag(13, 0.0)} == progress.lags(600.0)
    assert progress.newest_committed_s is None
