"""Setting the offsets from which streaming continues: after a backfill, or back in time to rebuild rows from Kafka.

The consumers concerned must be stopped. Every step can be repeated: run an interrupted rewind again to complete it.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from services.errors import ConfigurationError
from services.features.schema import Schema
from services.kafka.groups import open_group_admin
from services.kafka.reader import open_reader
from services.kafka.topics import describe_topic
from services.settings.load import Settings
from services.store.folded_offsets import FoldedOffsets
from services.store.protocol import OnlineStore, RowStore
from services.store.schema_lineage import join_lineage

REBUILT_VIEWS = {
    "behavior": ("user", "user_scenario"),
    "item": ("item", "item_scenario"),
    "scenario": ("scenario", "scenario_index"),
    "activity": ("item_activity", "facet_activity", "item_scenario_activity", "scenario_activity"),
}
"""Kind of consumer to the views whose rows a rewind drops."""


@dataclass(frozen=True)
class RewindResult:
    """Where a kind of consumer continues.

    Args:
        kind: kind of consumer.
        topic: the topic that it reads.
        offsets: first offset to fold, per partition.
        dropped: number of dropped rows by view.
    """

    kind: str
    topic: str
    offsets: Sequence[int]
    dropped: Mapping[str, int]


def rewind(settings: Settings, schema: Schema, rows: OnlineStore, kind: str, to_s: float) -> list[RewindResult]:
    """Drop the rows that `kind` folds, and set its group back so that they are rebuilt from records since `to_s`.

    Behaviour is folded into user rows and, by way of deltas, into activity rows: both are rebuilt. Erasure marks of
    users stay. Records that have expired, or that Kafka got before `to_s`, are not in the rebuilt rows.

    Args:
        settings: Kafka and the consumer groups.
        schema: the feature schema.
        rows: the online store.
        kind: behavior, item or scenario.
        to_s: seconds since 1970; 0: all records that Kafka has.

    Raises:
        ConfigurationError: Consumers of the groups are running, or `kind` is activity.
        TopicChanged, StoreUnavailable, KafkaUnavailable.
    """
    if kind not in REBUILT_VIEWS:
        raise ConfigurationError(f"kind: {kind}: choose behavior, item or scenario")
    if kind == "activity":
        raise ConfigurationError("kind: activity rows are rebuilt from behaviour: rewind behavior")
    kinds = ("behavior", "activity") if kind == "behavior" else (kind,)
    require_stopped(settings, kinds)
    join_lineage(rows, schema)
    for each in kinds:
        # Until the rewind is complete, consumers find the marks behind the committed offsets and refuse to fold.
        found = describe_topic(settings.kafka, settings.topic(each))
        open_marks(settings, schema, rows, each).reset(found, [0] * found.partitions)
    results = []
    for each in kinds:
        dropped = {view: rows.drop(schema[view]) for view in REBUILT_VIEWS[each]}
        # Deltas that are in the topic already were summed into the dropped rows.
        offsets = offsets_since(settings, settings.topic(each), math.inf if each == "activity" else to_s)
        set_start_offsets(settings, schema, rows, each, offsets)
        results.append(RewindResult(each, settings.topic(each), offsets, dropped))
    return results


def set_start_offsets(settings: Settings, schema: Schema, rows: RowStore, kind: str, offsets: Sequence[int]) -> None:
    """Have a kind of consumer fold its topic from `offsets` on, one per partition, and no record before them."""
    topic = settings.topic(kind)
    found = describe_topic(settings.kafka, topic)
    open_marks(settings, schema, rows, kind).reset(found, offsets)
    with open_group_admin(settings.kafka) as admin:
        admin.set_offsets(settings.group(kind), topic, offsets)


def open_marks(settings: Settings, schema: Schema, rows: RowStore, kind: str) -> FoldedOffsets:
    """The marks in the store of what is folded of the topic of a kind of consumer."""
    # Activity is rebuilt from behaviour.
    rebuilt = "behavior" if kind == "activity" else kind
    remedy = f"stop the consumers, `crossrec consumers rewind --kind {rebuilt} --to beginning`, start them"
    return FoldedOffsets(rows, schema, settings.topic(kind), settings.kafka.topic_epoch, remedy)


def require_stopped(settings: Settings, kinds: Sequence[str]) -> None:
    """Raise ConfigurationError if consumers of these kinds are running."""
    with open_group_admin(settings.kafka) as admin:
        for group in map(settings.group, kinds):
            if members := admin.describe(group).members:
                raise ConfigurationError(f"group {group} has {len(members)} running consumers: stop them first")


def end_offsets(settings: Settings, topic: str) -> list[int]:
    """The offset after the newest record of each partition. Raises KafkaUnavailable."""
    return offsets_since(settings, topic, math.inf)


def offsets_since(settings: Settings, topic: str, time_s: float) -> list[int]:
    """The offset of each partition's first record that Kafka got at `time_s` or later; infinity: the end.

    Raises KafkaUnavailable.
    """
    with open_reader(settings.kafka) as reader:
        return list(reader.offsets_at(topic, time_s).values())
