"""History written directly to the store, and streaming that continues from it; rows rebuilt from Kafka."""

import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from kafka import TopicPartition
from kafka.admin import OffsetSpec

from crossrec.events.v1.events_pb2 import Entry
from export.replay.backfill import with_initial_position
from export.replay.backfill_position import stream_on
from services.consumers.rewind import rewind
from services.errors import ConfigurationError
from services.features.rows import pack_rows
from services.infra.commands import Endpoints
from services.settings.times import parse_time_s
from services.store.protocol import read_rows
from tests.integration.consumer_harness import SCHEMA, UPDATES, USER_VIEWS, Stage, folded, running, staged
from tests.unit.consumers.streams import ACTIVITY, assert_rows, behavior, erasure, fold_catalogue, replayed
from tests.waiting import wait_until

pytestmark = pytest.mark.integration

VIEWS = (*USER_VIEWS, *ACTIVITY)
EVENTS = behavior(600, users=20)
HALF = 300


@pytest.fixture
def stage(infra: Endpoints, tmp_path: Path):
    with staged(infra, tmp_path) as stage:
        fold_catalogue(stage.store, UPDATES, SCHEMA)
        yield stage


def fill(stage: Stage, history: list[Entry]) -> None:
    """Write the rows after the history."""
    made = replayed(UPDATES, history, SCHEMA)
    for view in VIEWS:
        keys = sorted(made.rows[view])
        stage.store.write(
            keys, with_initial_position(SCHEMA, pack_rows(SCHEMA[view], read_rows(made, SCHEMA[view], keys)))
        )


def drain(stage: Stage) -> None:
    """Fold everything that is in Kafka."""
    with running(stage, "behavior"), running(stage, "activity"):
        wait_until(lambda: folded(stage, "behavior"))
        wait_until(lambda: folded(stage, "activity"))


def time_now() -> str:
    """A time after all records that are in Kafka, and before all later ones."""
    threading.Event().wait(0.01)
    now = time.time()
    threading.Event().wait(0.01)
    return np.datetime_as_string(np.datetime64(int(now * 1e6), "us"))


def test_streaming_continues_where_the_history_ends(stage: Stage) -> None:
    """Earlier records in Kafka count as history, though never folded; the rows equal those of streaming everything."""
    stage.send(EVENTS[:HALF])
    starts = stream_on(stage.settings, stage.store, "end")
    assert HALF == sum(starts[stage.topic("behavior")])
    fill(stage, EVENTS[:HALF])
    stage.send(EVENTS[HALF:])
    drain(stage)
    assert_rows(replayed(UPDATES, EVENTS, SCHEMA), stage.store, VIEWS, SCHEMA)


def test_streaming_may_overlap_with_the_history(stage: Stage) -> None:
    """Folding starts at the given time; earlier records are skipped even if the group's offsets are reset to them."""
    stage.send(EVENTS[:HALF])
    moment = time_now()
    stage.send(EVENTS[HALF:])
    stream_on(stage.settings, stage.store, moment)
    fill(stage, EVENTS[:HALF])
    stage.admin.delete_groups([stage.group("behavior")])
    drain(stage)
    assert_rows(replayed(UPDATES, EVENTS, SCHEMA), stage.store, VIEWS, SCHEMA)


def test_a_history_that_is_not_in_kafka(stage: Stage) -> None:
    """Folding starts at the beginning of the topic."""
    stage.send(EVENTS[HALF:])
    stream_on(stage.settings, stage.store, "beginning")
    fill(stage, EVENTS[:HALF])
    drain(stage)
    assert_rows(replayed(UPDATES, EVENTS, SCHEMA), stage.store, VIEWS, SCHEMA)


def test_an_invalid_time_is_rejected(stage: Stage) -> None:
    """The error names the option and its valid values."""
    with pytest.raises(ConfigurationError, match="stream_from: 'yesterday' is neither `beginning` nor a time"):
        stream_on(stage.settings, stage.store, "yesterday")


def spoil(stage: Stage) -> None:
    """Write wrong rows, and one that should not exist."""
    for view in VIEWS:
        keys = sorted(replayed(UPDATES, EVENTS, SCHEMA).rows[view])
        rows = read_rows(stage.store, SCHEMA[view], keys)
        wrong = [{**row, "counts": row["counts"] + 7.0} for row in rows if row is not None]
        stage.store.write(keys, pack_rows(SCHEMA[view], wrong))


def test_rows_are_rebuilt_from_kafka(stage: Stage) -> None:
    """From the beginning, whatever the stored rows hold; erased users stay erased."""
    gone = EVENTS[HALF].behavior_event.user_id
    erased_s = EVENTS[HALF].behavior_event.time.ToMicroseconds() / 1e6
    stage.send([*EVENTS[:HALF], erasure(gone, erased_s), *EVENTS[HALF + 1 :]])
    drain(stage)
    spoil(stage)
    starts = rewind(stage.settings, SCHEMA, stage.store, "behavior", 0.0)
    assert {"behavior", "activity"} == {start.kind for start in starts}
    assert all(count > 0 for start in starts for count in start.dropped.values())
    drain(stage)
    left = [event for number, event in enumerate(EVENTS) if event.behavior_event.user_id != gone or number > HALF]
    assert_rows(replayed(UPDATES, left, SCHEMA), stage.store, VIEWS, SCHEMA)


def test_rows_are_rebuilt_from_a_given_time(stage: Stage) -> None:
    """Records before that time are no longer in any row."""
    stage.send(EVENTS[:HALF])
    moment = np.datetime64(time_now()).astype("datetime64[us]").astype(float) / 1e6
    stage.send(EVENTS[HALF:])
    drain(stage)
    rewind(stage.settings, SCHEMA, stage.store, "behavior", moment)
    drain(stage)
    assert_rows(replayed(UPDATES, EVENTS[HALF:], SCHEMA), stage.store, VIEWS, SCHEMA)


@pytest.mark.parametrize(
    "act",
    [
        lambda stage: rewind(stage.settings, SCHEMA, stage.store, "behavior", 0.0),
        lambda stage: stream_on(stage.settings, stage.store, "end"),
    ],
    ids=["rewind", "backfill"],
)
def test_a_rebuild_with_running_consumers_is_rejected(stage: Stage, act: Callable[[Stage], object]) -> None:
    """The consumers must be stopped first; nothing is changed."""
    with running(stage, "behavior"):
        wait_until(lambda: stage.shares("behavior") == [4])
        with pytest.raises(ConfigurationError, match="-behavior has 1 running consumers: stop them first"):
            act(stage)


def test_activity_is_rebuilt_with_behavior_only(stage: Stage) -> None:
    """Activity deltas are not a history of their own."""
    with pytest.raises(ConfigurationError, match="rewind behavior"):
        rewind(stage.settings, SCHEMA, stage.store, "activity", 0.0)


def test_records_that_expired_are_added_from_the_history(stage: Stage) -> None:
    """The guide's way back: a rewind to a time that Kafka covers, a backfill until then; traffic goes on meanwhile."""
    stage.send(EVENTS[:200])
    drain(stage)
    stage.send(EVENTS[200:HALF])  # while the consumers are away, for longer than Kafka keeps records
    topic = stage.topic("behavior")
    ends = stage.admin.list_partition_offsets(
        {TopicPartition(topic, number): OffsetSpec.LATEST for number in range(stage.settings.kafka.partitions)}
    )
    stage.admin.delete_records({partition: at.offset for partition, at in ends.items()})
    moment = time_now()
    stage.send(EVENTS[HALF:400])
    drain(stage)  # until somebody notices
    with pytest.raises(AssertionError):
        assert_rows(replayed(UPDATES, EVENTS[:400], SCHEMA), stage.store, VIEWS, SCHEMA)
    rewind(stage.settings, SCHEMA, stage.store, "behavior", parse_time_s("to", moment))
    stage.send(EVENTS[400:500])
    stream_on(stage.settings, stage.store, moment)
    fill(stage, EVENTS[:HALF])
    stage.send(EVENTS[500:])
    drain(stage)
    assert_rows(replayed(UPDATES, EVENTS, SCHEMA), stage.store, VIEWS, SCHEMA)
