"""What every benchmark needs before it can measure: data, text encoder, topics, views, rows, and real events.

Knows the demo's environment and the Complete Journey data; measures nothing.
"""

from dataclasses import dataclass
from typing import Any

from kafka import KafkaProducer
from kafka.admin import KafkaAdminClient

from crossrec.events.v1.events_pb2 import Entry
from export.backfill.fill import fill_store
from export.datasets.registry import import_dataset
from export.datasets.storage import DatasetReader
from export.demo.environment import Environment
from export.demo.stream import behavior_entries
from export.pipeline import ensure_encoder, replay_rows
from export.replay.history import History, load_history
from export.training.run import train_run
from services.events.codec import encode
from services.events.routing import route, topic_name
from services.runtime.settings import Settings, load_settings
from services.runtime.topics import create_topics, topic_specs
from services.store.connect import apply_definitions, open_rows_for_batches
from services.store.feast_rows import FeastRowStore

DATASET = "completejourney"
PRODUCER_BATCH_BYTES = 256 * 1024


@dataclass
class Stage:
    """An environment with a data set in it.

    Args:
        environment: infrastructure and processes.
        settings: of this environment.
        reader: the imported data set.
        history: the same as arrays.
    """

    environment: Environment
    settings: Settings
    reader: DatasetReader
    history: History

    def rows(self) -> FeastRowStore:
        """The online store, patient enough for batches."""
        return open_rows_for_batches(self.settings)

    def describe(self, households: int) -> str:
        """The data in words."""
        taken = f"{households} households" if households else "all households"
        return f"Complete Journey, {taken}, seed 0"


def set_stage(environment: Environment, households: int) -> Stage:
    """Import households of Complete Journey (0: all of them) and build their text encoder."""
    settings = load_settings()
    directory = environment.data / DATASET
    import_dataset(DATASET, directory, households=households or None, seed=0)
    reader = DatasetReader(directory)
    ensure_encoder(settings, reader)
    return Stage(environment, settings, reader, load_history(reader, settings.features))


def open_topics(stage: Stage) -> None:
    """Create the topics."""
    kafka = stage.settings.kafka
    specs = topic_specs(kafka.topic_prefix, kafka.partitions)
    create_topics(kafka.bootstrap_servers, specs, kafka.replication_factor)


def open_catalogue(stage: Stage) -> None:
    """Create the views, and fill in items and scenarios as they were before the first event."""
    apply_definitions(stage.settings)
    fill_store(stage.settings, stage.reader.path, float(stage.history.behavior.time_s[0]))


def open_ranking(stage: Stage) -> None:
    """Train a model for one pass over the rows, and fill the store with all history; views are there afterwards."""
    replay_rows(stage.settings, stage.reader, stage.reader.path / "rows", 0.0)
    train_run(stage.settings, DATASET, "neural", overrides={"epochs": 1})
    apply_definitions(stage.settings)
    fill_store(stage.settings, stage.reader.path)


def first_events(stage: Stage, events: int) -> list[Entry]:
    """The first behaviour events of the data in time order."""
    times = stage.history.behavior.time_s
    return behavior_entries(stage.history, slice(0, min(events, len(times))))


def append(stage: Stage, entries: list[Entry]) -> None:
    """Store entries in their topics as a backend that writes to Kafka itself does; returns when all are stored."""
    kafka = stage.settings.kafka
    with KafkaProducer(
        bootstrap_servers=kafka.bootstrap_servers, acks="all", linger_ms=20, batch_size=PRODUCER_BATCH_BYTES
    ) as producer:
        futures = []
        for entry in entries:
            way = route(entry)
            value, headers = encode(entry)
            futures.append(producer.send(topic_name(kafka.topic_prefix, way.suffix), value, way.key, headers))
        producer.flush()
        for future in futures:
            future.get(timeout=0)


def committed(admin: KafkaAdminClient, group: str) -> int:
    """Records that the group has committed, over all partitions; 0 before its first member came."""
    from kafka.errors import GroupIdNotFoundError, RetriableError

    try:
        offsets: dict[Any, Any] = admin.list_group_offsets([group])[group]
    except (GroupIdNotFoundError, RetriableError):
        return 0
    return sum(max(at.offset, 0) for at in offsets.values())
