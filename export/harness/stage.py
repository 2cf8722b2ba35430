"""Prepares an environment for benchmarks and parity tests: data, text encoder, topics, feature views, rows, events.

Knows the environment and the Complete Journey data; measures nothing.
"""

import os
from dataclasses import dataclass, replace

from crossrec.events.v1.events_pb2 import Entry
from export.datasets.registry import import_dataset
from export.datasets.storage import DatasetReader
from export.harness.environment import Environment
from export.harness.stream import behavior_entries
from export.replay.backfill import fill_store
from export.replay.history import DatasetHistory, load_history
from export.replay.pipeline import ensure_encoder, replay_rows
from export.training.run import train_run
from services.kafka.topics import create_topics, topic_specs
from services.settings.load import Settings, load_settings
from services.store.connect import open_rows_for_batches
from services.store.feast_registry import apply_definitions
from services.store.protocol import OnlineStore

DATASET = "completejourney"
PRODUCER_BATCH_BYTES = 256 * 1024


@dataclass
class DatasetStage:
    """An environment with an imported data set.

    Args:
        environment: infrastructure and processes.
        settings: settings of this environment.
        reader: the imported data set.
        history: the data set as arrays.
    """

    environment: Environment
    settings: Settings
    reader: DatasetReader
    history: DatasetHistory

    def rows(self) -> OnlineStore:
        """The online store, with the time-outs of batch jobs."""
        return open_rows_for_batches(self.settings)

    def isolate(self, name: str) -> "DatasetStage":
        """The same data with separate topics, groups and rows, for this process and its child processes."""
        registry = self.environment.data / "feast" / f"{name}.db"
        os.environ |= {
            "CROSSREC_KAFKA__TOPIC_PREFIX": name,
            "CROSSREC_CONSUMERS__GROUP_PREFIX": name,
            "CROSSREC_STORE__PROJECT": name,
            "CROSSREC_STORE__REGISTRY": str(registry),
        }
        return replace(self, settings=load_settings())

    def describe(self, households: int) -> str:
        """Description of the data for a report."""
        sample = f"{households} households" if households else "all households"
        return f"Complete Journey, {sample}, seed 0"


def prepare_stage(environment: Environment, households: int) -> DatasetStage:
    """Import households of Complete Journey (0: all of them) and build their text encoder."""
    settings = load_settings()
    directory = environment.data / DATASET
    import_dataset(DATASET, directory, households=households or None, seed=0)
    reader = DatasetReader(directory)
    ensure_encoder(settings, reader)
    return DatasetStage(environment, settings, reader, load_history(reader, settings.features))


def create_stage_topics(stage: DatasetStage, partitions: int = 0) -> None:
    """Create the topics; 0 partitions: the number in the settings."""
    kafka = stage.settings.kafka
    specs = topic_specs(kafka.topic_prefix, partitions or kafka.partitions)
    create_topics(kafka, specs, kafka.replication_factor)


def prepare_catalogue(stage: DatasetStage) -> None:
    """Create the feature views, and backfill items and scenarios as of the first event."""
    apply_definitions(stage.settings)
    fill_store(stage.settings, stage.reader.path, float(stage.history.behavior.time_s[0]))


def prepare_ranking(stage: DatasetStage) -> None:
    """Train a model for one epoch, create the feature views and backfill the whole history."""
    replay_rows(stage.settings, stage.reader, stage.reader.path / "rows", 0.0)
    train_run(stage.settings, DATASET, "neural", overrides={"epochs": 1})
    apply_definitions(stage.settings)
    fill_store(stage.settings, stage.reader.path)


def first_events(stage: DatasetStage, events: int) -> list[Entry]:
    """The first behaviour events of the data in time order."""
    times = stage.history.behavior.time_s
    return behavior_entries(stage.history, slice(0, min(events, len(times))))
