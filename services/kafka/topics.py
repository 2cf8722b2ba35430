"""The Kafka topics: what each carries, its partitions, its retention; creating and describing them.

Imports kafka-python inside functions only, so that processes that open no topic do not load it.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Literal

from services.errors import TopicMismatch
from services.kafka.connection import WAIT_S, Kafka, KafkaUnavailable, brokers_of, kafka_arguments, translate_errors
from services.settings.infrastructure import RetentionSettings

if TYPE_CHECKING:
    from kafka.admin import KafkaAdminClient

RETENTION = ("retention.ms", "delete.retention.ms")
"""Kafka's settings for how long a topic keeps records, and a compacted topic its tombstones."""

LIMITS_MS = 3000
"""Longest wait for the limits of topics, milliseconds."""

RECORD_LIMIT = "max.message.bytes"
"""Kafka's setting for the largest record batch of a topic."""

_DAY_MS = 24 * 60 * 60 * 1000

DEAD_LETTERS = "dead-letter"
"""Suffix of the topic of records that could not be folded."""

RANKED = "ranked"
"""Suffix of the topic of served rankings."""

_BROKERS_TIME = {"message.timestamp.type": "LogAppendTime"}
"""Retention and the bounds on event times count from arrival: by the producer's time, a replayed history would expire
when it arrives, and any event time could be made to look in time."""


@dataclass(frozen=True)
class TopicSpec:
    """A topic as it must exist."""

    name: str
    partitions: int
    config: dict[str, str]
    description: str
    """What it carries, and its key."""


@dataclass(frozen=True)
class TopicIdentity:
    """A topic as the broker has it.

    Args:
        name: its name.
        topic_id: the broker's id of it; a re-created topic gets another one.
        partitions: number of partitions.
    """

    name: str
    topic_id: str
    partitions: int


def topic_specs(
    prefix: str = "crossrec", partitions: int = 4, retention: RetentionSettings | None = None
) -> tuple[TopicSpec, ...]:
    """All topics; `partitions` is the count of those that scale with load.

    The partition counts of behaviour and items are fixed once data flows: with another count a key would move to
    another partition, and its rows to another writer.
    """
    days = retention or RetentionSettings()
    compacted, dead_letter = _compacted(days.deletion_days), _dead_letter(days.dead_letter_days)
    behavior, activity, ranked = map(_expiring, (days.behavior_days, days.activity_days, days.ranked_days))
    return (
        TopicSpec(f"{prefix}.behavior", partitions, behavior, "behaviour events, by user_id"),
        TopicSpec(f"{prefix}.items", partitions, compacted, "item upserts and deletions, by item_id"),
        # One partition: its consumer also keeps the index of scenarios, which must have one writer.
        TopicSpec(f"{prefix}.scenarios", 1, compacted, "scenario upserts and deletions, by scenario_id"),
        TopicSpec(f"{prefix}.activity", partitions, activity, "activity deltas, by item or scenario"),
        TopicSpec(f"{prefix}.{DEAD_LETTERS}", 1, dead_letter, "records that could not be used, with the reason"),
        TopicSpec(f"{prefix}.{RANKED}", partitions, ranked, "served rankings and their features, by user_id"),
    )


def _expiring(days: float) -> dict[str, str]:
    return {
        "cleanup.policy": "delete",
        "retention.ms": str(round(days * _DAY_MS)),
        **_BROKERS_TIME,
    }


def _compacted(days: int) -> dict[str, str]:
    # Tombstones stay readable for days, so that a consumer that was stopped still reads them.
    return {"cleanup.policy": "compact", "delete.retention.ms": str(days * _DAY_MS), **_BROKERS_TIME}


def _dead_letter(days: int) -> dict[str, str]:
    # Twice the default, so that the largest record of another topic fits together with the reason.
    return {**_expiring(days), "max.message.bytes": str(2 * 1024 * 1024)}


def create_topics(kafka: Kafka, specs: Sequence[TopicSpec], replication_factor: int = 1) -> list[str]:
    """Create the topics that do not exist, and check the partition count of those that do.

    Safe to call from several processes at once.

    Args:
        kafka: Where the topics should be.
        specs: The topics wanted.
        replication_factor: Copies of each new partition; from 3 on, a write is confirmed by at least 2.

    Returns:
        The names of the topics that this call created, ready for use.

    Raises:
        TopicMismatch: A topic exists with another number of partitions.
        KafkaUnavailable: Kafka cannot be reached, or rejects a topic.
    """
    least = minimum_in_sync(replication_factor)
    durability = {"min.insync.replicas": str(least)} if least > 1 else {}
    wanted = {
        spec.name: {
            "num_partitions": spec.partitions,
            "replication_factor": replication_factor,
            "configs": {**spec.config, **durability},
        }
        for spec in specs
    }
    with open_admin(kafka) as admin:
        answers = admin.create_topics(wanted, raise_errors=False)["topics"]
        created = [answer["name"] for answer in answers if not _exists_already(answer)]
        admin.wait_for_topics(list(wanted))
        _check_partitions(admin, specs)
    return created


def minimum_in_sync(replicas: int) -> int:
    """How many copies must confirm a write: with one, an acknowledged event dies with its broker."""
    return 2 if replicas >= 3 else 1


def describe_topic(kafka: Kafka, topic: str, timeout_s: float = 15.0) -> TopicIdentity:
    """The topic as the brokers have it. KafkaUnavailable if they cannot be reached, or have no such topic (yet)."""
    from kafka.errors import UnknownTopicOrPartitionError, for_code

    with open_admin(kafka, bootstrap_timeout_ms=timeout_s * 1000) as admin:
        (found,) = admin.describe_topics([topic])
        if found["error_code"] == UnknownTopicOrPartitionError.errno:
            raise KafkaUnavailable(f"Kafka at {brokers_of(kafka)} has no topic {topic}: `crossrec setup` creates it")
        if found["error_code"]:
            raise for_code(found["error_code"])(f"topic {topic}")
    return TopicIdentity(topic, str(found["topic_id"]), len(found["partitions"]))


def partition_numbers(kafka: Kafka, topic: str) -> list[int]:
    """The topic's partitions in order; none if there is no such topic. Raises KafkaUnavailable.

    A consumer that is asked for them fetches the metadata of every topic of the brokers first.
    """
    with open_admin(kafka, bootstrap_timeout_ms=int(WAIT_S * 1000)) as admin:
        (found,) = admin.describe_topics([topic])
    return sorted(partition["partition_index"] for partition in found["partitions"])


def record_limits(kafka: Kafka, topics: Collection[str]) -> dict[str, int]:
    """The largest record batch that each of the topics takes, in bytes.

    Topics that do not exist, or that the user may not describe, are left out. Raises KafkaUnavailable.
    """
    # Called between health checks, which must not wait for a broker that hangs.
    with open_admin(kafka, bootstrap_timeout_ms=LIMITS_MS, request_timeout_ms=LIMITS_MS) as admin:
        found = read_configs(admin, "topic", topics, [RECORD_LIMIT])
    return {topic: int(config[RECORD_LIMIT]) for topic, config in found.items() if RECORD_LIMIT in config}


def read_configs(
    admin: "KafkaAdminClient", kind: Literal["topic", "broker"], names: Collection[str], only: Sequence[str] | None
) -> dict[str, dict[str, str]]:
    """Settings of topics or brokers by name, those that Kafka does not show left out; `only` these, or all of them."""
    from kafka.admin import ConfigResource, ConfigResourceType

    resources = [ConfigResource(ConfigResourceType[kind.upper()], name, only) for name in names]
    found = admin.describe_configs(resources, config_filter="all").get(kind, {}) if resources else {}
    return {name: {key: str(each["value"]) for key, each in config.items()} for name, config in found.items()}


def list_topics(kafka: Kafka, timeout_s: float) -> set[str]:
    """Names of all topics; KafkaUnavailable if no broker answers within about `timeout_s` seconds."""
    with open_admin(kafka, bootstrap_timeout_ms=int(timeout_s * 1000)) as admin:
        return set(admin.list_topics())


def partition_counts(kafka: Kafka) -> Callable[[str], int]:
    """A function that returns a topic's number of partitions, read from the brokers once per topic.

    Its calls raise KafkaUnavailable.
    """

    @cache
    def count(topic: str) -> int:
        return describe_topic(kafka, topic, WAIT_S).partitions

    return count


def partition_of(partition_key: bytes, partitions: Collection[int]) -> int:
    """The partition that Kafka's default partitioner gives a record whose key is `partition_key`."""
    from kafka.partitioner.default import murmur2

    numbers = sorted(partitions)
    digest: int = murmur2(partition_key)
    return numbers[(digest & 0x7FFFFFFF) % len(numbers)]


@contextmanager
def open_admin(kafka: Kafka, **arguments: float) -> "Iterator[KafkaAdminClient]":
    """An admin client. Errors of Kafka's client within the context are raised as KafkaUnavailable."""
    from kafka.admin import KafkaAdminClient

    with translate_errors(kafka), KafkaAdminClient(**kafka_arguments(kafka), **arguments) as admin:
        yield admin


def _exists_already(answer: dict[str, object]) -> bool:
    from kafka.errors import TopicAlreadyExistsError, for_code

    error = for_code(answer["error_code"])
    if error is TopicAlreadyExistsError:
        return True
    if answer["error_code"]:
        raise error(f"cannot create topic {answer['name']}: {answer.get('error_message')}")
    return False


def _check_partitions(admin: "KafkaAdminClient", specs: Sequence[TopicSpec]) -> None:
    topics = admin.describe_topics([spec.name for spec in specs])
    found = {topic["name"]: len(topic["partitions"]) for topic in topics}
    for spec in specs:
        if found[spec.name] != spec.partitions:
            raise TopicMismatch(spec.name, found[spec.name], spec.partitions)
