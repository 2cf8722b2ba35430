"""Setting where streaming goes on: after a backfill, or back in time to rebuild rows from what Kafka still has.

Consumers of the groups concerned must be stopped. Every step can be repeated; a rewind that was cut short is
finished by doing it again.
"""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from kafka import TopicPartition
from kafka.admin import KafkaAdminClient
from kafka.errors import GroupIdNotFoundError, RetriableError

from services.consumers.kinds import TOPICS
from services.errors import ConfigurationError
from services.events.routing import topic_name
from services.features.schema import Schema
from services.kafka.connection import kafka_arguments
from services.kafka.reader import offsets_at, reachable, reader
from services.kafka.topics import identify
from services.settings.load import Settings
from services.store.lineage import join_lineage
from services.store.protocol import OnlineStore, RowStore
from services.store.topic_state import begin

PATIENCE_S = 15.0
"""Seconds that a broker gets to find out who coordinates a group."""

REBUILT = {
    "behavior": ("user", "user_scenario"),
    "item": ("item", "item_scenario"),
    "scenario": ("scenario", "scenario_index"),
    "activity": ("item_activity", "facet_activity", "item_scenario_activity", "scenario_activity"),
}
"""Kind of consumer and the views whose rows a rewind drops."""


@dataclass(frozen=True)
class RewindResult:
    """Where a kind of consumer goes on.

    Args:
        kind: kind of consumer.
        topic: what it reads.
        offsets: first offset to fold, per partition.
        dropped: rows that were dropped, by view.
    """

    kind: str
    topic: str
    offsets: Sequence[int]
    dropped: Mapping[str, int]


def rewind(settings: Settings, schema: Schema, rows: OnlineStore, kind: str, to_s: float) -> list[RewindResult]:
    """Drop the rows that `kind` folds and have them rebuilt from the records that Kafka got since `to_s`.

    Behaviour is folded into user rows and, by way of deltas, into activity rows: both are rebuilt. Marks of erased
    users stay. What Kafka no longer has, or got before `to_s`, is not rebuilt.

    Args:
        settings: where Kafka is, and the groups.
        schema: the feature schema.
        rows: the online store.
        kind: behavior, item or scenario.
        to_s: seconds since 1970; 0: everything that Kafka has.

    Raises:
        ConfigurationError: Consumers of the groups are running, or activity was to be rewound by itself.
        TopicChanged, StoreUnavailable, KafkaUnavailable.
    """
    if kind not in REBUILT:
        raise ConfigurationError(f"kind: {kind}: choose behavior, item or scenario")
    if kind == "activity":
        raise ConfigurationError("kind: activity rows are rebuilt from behaviour: rewind behavior")
    kinds = ("behavior", "activity") if kind == "behavior" else (kind,)
    require_stopped(settings, kinds)
    join_lineage(rows, schema)
    starts = []
    for each in kinds:
        dropped = {view: rows.drop(schema[view]) for view in REBUILT[each]}
        topic = topic_name(settings.kafka.topic_prefix, TOPICS[each])
        # The deltas that are there already belong to the rows that were dropped.
        offsets = end_offsets(settings, topic) if each == "activity" else offsets_since(settings, topic, to_s)
        go_on(settings, schema, rows, each, offsets)
        starts.append(RewindResult(each, topic, offsets, dropped))
    return starts


def go_on(settings: Settings, schema: Schema, rows: RowStore, kind: str, offsets: Sequence[int]) -> None:
    """Have a kind of consumer fold its topic from `offsets` on, per partition, and nothing before them."""
    topic = topic_name(settings.kafka.topic_prefix, TOPICS[kind])
    found = identify(settings.kafka, topic)
    begin(rows, schema, found, settings.kafka.topic_epoch, offsets)
    group = f"{settings.consumers.group_prefix}-{kind}"
    with _admin(settings) as admin:
        partitions = {TopicPartition(topic, number): offset for number, offset in enumerate(offsets)}
        answers = _settled(lambda: admin.reset_group_offsets(group, dict(partitions)))
        for partition, answer in answers.items():
            if answer["error"].errno:
                raise answer["error"](f"group {group}, {partition}")


def require_stopped(settings: Settings, kinds: Sequence[str]) -> None:
    """Raise ConfigurationError if consumers of these kinds are running."""
    groups = [f"{settings.consumers.group_prefix}-{kind}" for kind in kinds]
    with _admin(settings) as admin:
        for group in groups:
            try:
                members = _settled(lambda name=group: admin.describe_groups([name]))[group]["members"]  # type: ignore[misc]
            except GroupIdNotFoundError:
                continue
            if members:
                raise ConfigurationError(f"group {group} has {len(members)} running consumers: stop them first")


def _settled(call: Callable[[], dict[Any, Any]]) -> dict[Any, Any]:
    """The answer, as soon as there is one: a new broker makes its groups' topic when it is first asked for one."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            return call()
        except RetriableError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def end_offsets(settings: Settings, topic: str) -> list[int]:
    """The offset after the newest record of each partition. Raises KafkaUnavailable."""
    return offsets_since(settings, topic, math.inf)


def offsets_since(settings: Settings, topic: str, time_s: float) -> list[int]:
    """The offset of each partition's first record that Kafka got at `time_s` or later; infinity: the end.

    Raises KafkaUnavailable.
    """
    with reachable(settings.kafka), reader(settings.kafka) as consumer:
        numbers = sorted(consumer.partitions_for_topic(topic) or ())
        partitions = [TopicPartition(topic, number) for number in numbers]
        if math.isfinite(time_s):
            return offsets_at(consumer, partitions, time_s)
        ends = consumer.end_offsets(partitions)
        return [ends[partition] for partition in partitions]


@contextmanager
def _admin(settings: Settings) -> Iterator[KafkaAdminClient]:
    with reachable(settings.kafka), KafkaAdminClient(**kafka_arguments(settings.kafka)) as admin:
        yield admin
