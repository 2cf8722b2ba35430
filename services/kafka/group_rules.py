"""Consumer groups that exist already: whether the feature consumers can use them.

`crossrec setup` refuses what is wrong, `crossrec doctor` reports it; both by `judge_groups`.
"""

from collections.abc import Mapping

from services.errors import ConfigurationError
from services.kafka.connection import Kafka
from services.kafka.groups import GroupDescription, open_group_admin
from services.kafka.reader import open_reader

CONSUMER = "consumer"
"""Kafka's protocol type of groups of consumers; before the first member it is empty."""


def judge_group(
    group: str, found: GroupDescription, topic: str, committed: Mapping[int, int], ends: Mapping[int, int]
) -> list[str]:
    """What is wrong with a group.

    Args:
        group: its name.
        found: its state.
        topic: the topic that it reads.
        committed: its offsets in the topic.
        ends: the end of each partition of the topic.
    """
    wrong = []
    if found.protocol not in {"", CONSUMER}:
        wrong.append(f"group {group} is one of {found.protocol}, not of consumers: set consumers.group_prefix")
    for partition, offset in sorted(committed.items()):
        if partition not in ends:
            wrong.append(f"group {group} has an offset of partition {partition}, which {topic} does not have")
        elif offset > ends[partition]:
            place = f"offset {offset} of {topic}, partition {partition}, which ends at {ends[partition]}"
            wrong.append(f"group {group} is at {place}: set consumers.group_prefix, or rewind it")
    return wrong


def judge_groups(kafka: Kafka, groups: Mapping[str, str]) -> list[str]:
    """What is wrong with groups that exist, given with the topic of each. Raises KafkaUnavailable."""
    wrong = []
    with open_group_admin(kafka) as admin, open_reader(kafka) as reader:
        for group, topic in groups.items():
            if reader.partitions(topic):
                found, committed = admin.describe(group), admin.committed_offsets(group, topic)
                wrong += judge_group(group, found, topic, committed, reader.end_offsets(topic) if committed else {})
    return wrong


def require_usable(kafka: Kafka, groups: Mapping[str, str]) -> None:
    """Raise ConfigurationError that names every group which consumers cannot use; KafkaUnavailable."""
    if wrong := judge_groups(kafka, groups):
        raise ConfigurationError("; ".join(wrong))
