"""Topics that exist already, compared with what setup would have made."""

import pytest

from services.kafka.topic_settings import LEAST_MESSAGE_BYTES, FoundTopic, judge_topic
from services.kafka.topics import TopicSpec, topic_specs

SPECS = {spec.name.partition(".")[2]: spec for spec in topic_specs()}
DEFAULTS = {
    "compression.type": "producer",
    "max.message.bytes": str(LEAST_MESSAGE_BYTES),
    "min.insync.replicas": "1",
    "retention.bytes": "-1",
    "retention.ms": "604800000",
    "delete.retention.ms": "86400000",
    "unclean.leader.election.enable": "false",
}


def found(spec: TopicSpec, replicas: int = 1, **config: str) -> FoundTopic:
    given = {name.replace("_", "."): value for name, value in config.items()}
    return FoundTopic(spec.name, spec.partitions, replicas, {**DEFAULTS, **spec.config, **given})


@pytest.mark.parametrize("name", SPECS)
def test_what_setup_makes_is_right(name: str) -> None:
    """So is more than is needed."""
    spec = SPECS[name]
    for topic in (found(spec), found(spec, 3, min_insync_replicas="2"), found(spec, max_message_bytes="10000000")):
        verdict = judge_topic(spec, topic, 1)
        assert ({}, []) == (verdict.corrections, verdict.refusals)


@pytest.mark.parametrize(
    ("name", "setting", "value", "right"),
    [
        ("behavior", "cleanup.policy", "compact", "delete"),
        ("behavior", "retention.ms", "1000", SPECS["behavior"].config["retention.ms"]),
        ("behavior", "retention.bytes", "1000", "-1"),
        ("behavior", "message.timestamp.type", "CreateTime", "LogAppendTime"),
        ("behavior", "max.message.bytes", "1000", str(LEAST_MESSAGE_BYTES)),
        ("behavior", "min.insync.replicas", "2", "1"),
        ("behavior", "unclean.leader.election.enable", "true", "false"),
        ("items", "cleanup.policy", "compact,delete", "compact"),
        ("items", "cleanup.policy", "delete", "compact"),
        (
            "dead-letter",
            "max.message.bytes",
            str(LEAST_MESSAGE_BYTES),
            SPECS["dead-letter"].config["max.message.bytes"],
        ),
    ],
)
def test_a_wrong_setting_is_corrected(name: str, setting: str, value: str, right: str) -> None:
    """With its found value."""
    spec = SPECS[name]
    verdict = judge_topic(spec, found(spec, **{setting: value}), 1)
    assert ({setting: right}, []) == (verdict.corrections, verdict.refusals)
    assert f"{setting} is {value}, not {right}" == verdict.describe_corrections()


def test_writes_that_one_broker_confirms_are_not_enough_for_three() -> None:
    """An acknowledged event would die with its broker."""
    spec = SPECS["behavior"]
    assert {"min.insync.replicas": "2"} == judge_topic(spec, found(spec, 3), 3).corrections
    assert {"min.insync.replicas": "2"} == judge_topic(spec, found(spec, 3, min_insync_replicas="4"), 3).corrections


def test_what_cannot_be_corrected_is_refused() -> None:
    """With what to do."""
    spec = SPECS["behavior"]
    few = FoundTopic(spec.name, 3, 1, {**DEFAULTS, **spec.config, "compression.type": "lz4"})
    partitions, copies, codec = judge_topic(spec, few, 3, ["lz4"]).refusals
    assert partitions.startswith("3 partitions, not 4: ")
    assert copies.startswith("1 copies of a partition, not 3 (kafka.replication_factor): ")
    assert codec.startswith("compression.type lz4 cannot be read here: ")
    assert [] == judge_topic(spec, found(spec, compression_type="lz4"), 1).refusals
