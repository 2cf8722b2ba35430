"""What the brokers allow: limits, rights of this principal; and their clock. Changes nothing that can be read."""

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from services.kafka.connection import WAIT_S, Kafka, kafka_arguments, translate_errors
from services.kafka.groups import open_group_admin
from services.kafka.topics import open_admin, read_configs

LIMITS = ("transaction.max.timeout.ms", "group.max.session.timeout.ms", "offsets.retention.minutes")
"""Settings of brokers that bound what clients may ask for: the smallest of all brokers counts."""

LEAST = "group.min.session.timeout.ms"
"""A lower bound: the largest of all brokers counts."""


@dataclass(frozen=True)
class Rights:
    """What this principal may do, as Kafka's names of operations.

    Args:
        topics: by topic.
        groups: by consumer group.
    """

    topics: Mapping[str, Collection[str]]
    groups: Mapping[str, Collection[str]]


def read_limits(kafka: Kafka) -> dict[str, int]:
    """The limits of the brokers by name; those that they do not show are left out. Raises KafkaUnavailable."""
    names = [*LIMITS, LEAST]
    with open_admin(kafka) as admin:
        brokers = [str(each["broker_id"]) for each in admin.describe_cluster()["brokers"]]
        found = read_configs(admin, "broker", brokers, names)
    limits = {}
    for name in names:
        values = [int(config[name]) for config in found.values() if name in config]
        if values:
            limits[name] = max(values) if name == LEAST else min(values)
    return limits


def read_rights(kafka: Kafka, topics: Sequence[str], groups: Sequence[str]) -> Rights:
    """The rights of the principal that the settings name, on topics and groups. Raises KafkaUnavailable."""
    with open_admin(kafka) as admin:
        of_topics = {each["name"]: each["authorized_operations"] or () for each in admin.describe_topics(list(topics))}
    with open_group_admin(kafka) as group_admin:
        of_groups = {group: rights for group in groups if (rights := group_admin.rights(group)) is not None}
    return Rights(of_topics, of_groups)


def clock_skew_s(kafka: Kafka, topic: str, transactional_id: str) -> float:
    """By how many seconds the clock of a partition's leader is ahead of this machine's.

    Writes a record in a transaction that is aborted, so that it is never read; the topic must stamp records on arrival.
    Raises KafkaUnavailable, also where the principal may not write.
    """
    from kafka import KafkaProducer

    wait_ms = int(WAIT_S * 1000)
    with translate_errors(kafka):
        producer = KafkaProducer(
            **kafka_arguments(kafka),
            transactional_id=transactional_id,
            bootstrap_timeout_ms=wait_ms,
            max_block_ms=wait_ms,
        )
        try:
            producer.init_transactions()
            producer.begin_transaction()
            before_s = time.time()
            stored = producer.send(topic, key=b"clock").get(timeout=WAIT_S)
            after_s = time.time()
            producer.abort_transaction()
        finally:
            producer.close(timeout=WAIT_S)
    stamped_s = float(stored.timestamp) / 1000
    # A stamp between the two instants is no skew.
    return min(stamped_s - before_s, 0.0) if stamped_s < before_s else max(stamped_s - after_s, 0.0)
