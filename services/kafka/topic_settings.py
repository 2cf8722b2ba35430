"""The settings of topics that exist already: what is right, what can be corrected, and what is refused.

`crossrec setup` corrects or refuses, `crossrec doctor` reports; both by `judge_topic`, which is pure. Every topic
is held to what `create_topics` would have made.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from services.errors import ConfigurationError
from services.kafka.connection import Kafka, missing_codecs
from services.kafka.topics import TopicSpec, minimum_in_sync, open_admin, read_configs

LEAST_MESSAGE_BYTES = 1024 * 1024 + 12
"""Kafka's default of max.message.bytes, on which the limits of entries are built."""

_UNCLEAN = "unclean.leader.election.enable"


@dataclass(frozen=True)
class FoundTopic:
    """A topic as the brokers have it.

    Args:
        name: its name.
        partitions: their number.
        replicas: copies of the partition that has the fewest.
        config: settings by name.
    """

    name: str
    partitions: int
    replicas: int
    config: Mapping[str, str]


@dataclass(frozen=True)
class TopicVerdict:
    """What is wrong with a topic.

    Args:
        topic: its name.
        corrections: settings that can be corrected, with their right values.
        found: the values of these settings.
        refusals: what cannot be corrected, with what to do.
    """

    topic: str
    corrections: Mapping[str, str]
    found: Mapping[str, str]
    refusals: Sequence[str]

    def describe_corrections(self) -> str:
        """The settings with their found and right values."""
        return ", ".join(f"{name} is {self.found[name]}, not {value}" for name, value in self.corrections.items())


def judge_topic(
    spec: TopicSpec, found: FoundTopic, replication_factor: int, unread: Sequence[str] = ()
) -> TopicVerdict:
    """Compare a topic with its specification; `unread` are codecs for which a package is missing."""
    config = found.config
    wanted = {name: value for name, value in spec.config.items() if _differs(name, value, config[name])}
    # A topic of another policy would lose records: by size, or to a leader that lacks them.
    if "retention.ms" in spec.config and config["retention.bytes"] != "-1":
        wanted["retention.bytes"] = "-1"
    if config.get(_UNCLEAN, "false") != "false":
        wanted[_UNCLEAN] = "false"
    if int(config["max.message.bytes"]) < LEAST_MESSAGE_BYTES:
        wanted.setdefault("max.message.bytes", str(LEAST_MESSAGE_BYTES))
    in_sync, least = int(config["min.insync.replicas"]), minimum_in_sync(found.replicas)
    if not least <= in_sync <= found.replicas:
        wanted["min.insync.replicas"] = str(least)
    refusals = []
    if found.partitions != spec.partitions:
        what = f"{found.partitions} partitions, not {spec.partitions}"
        refusals.append(f"{what}: set kafka.partitions, or create it anew under another kafka.topic_prefix")
    if found.replicas < replication_factor:
        what = f"{found.replicas} copies of a partition, not {replication_factor} (kafka.replication_factor)"
        refusals.append(f"{what}: reassign its partitions")
    if config["compression.type"] in unread:
        refusals.append(f"compression.type {config['compression.type']} cannot be read here: install its package")
    return TopicVerdict(found.name, wanted, {name: config[name] for name in wanted}, refusals)


def judge_topics(kafka: Kafka, specs: Sequence[TopicSpec], replication_factor: int) -> list[TopicVerdict]:
    """The verdicts on the topics that exist, in the order of the specs. Raises KafkaUnavailable, ConfigurationError."""
    with open_admin(kafka) as admin:
        topics = {
            topic["name"]: topic
            for topic in admin.describe_topics([spec.name for spec in specs])
            if not topic["error_code"]
        }
        specs = [spec for spec in specs if spec.name in topics]
        configs = read_configs(admin, "topic", [spec.name for spec in specs], None)
    verdicts = []
    for spec in specs:
        config = configs[spec.name]
        if not config:
            raise ConfigurationError(f"topic {spec.name}: Kafka does not show its settings: grant DescribeConfigs")
        partitions = topics[spec.name]["partitions"]
        replicas = min((len(each["replica_nodes"]) for each in partitions), default=0)
        found = FoundTopic(spec.name, len(partitions), replicas, config)
        verdicts.append(judge_topic(spec, found, replication_factor, missing_codecs()))
    return verdicts


def correct_topics(kafka: Kafka, specs: Sequence[TopicSpec], replication_factor: int) -> list[TopicVerdict]:
    """Correct the settings of topics that exist; other settings stay. Returns the verdicts on those that were wrong.

    Raises ConfigurationError, before any change, if a topic has to be refused, or if Kafka rejects a change;
    KafkaUnavailable.
    """
    from kafka.admin import ConfigResource, ConfigResourceType

    verdicts = judge_topics(kafka, specs, replication_factor)
    if refused := [f"topic {each.topic}: {refusal}" for each in verdicts for refusal in each.refusals]:
        raise ConfigurationError("; ".join(refused))
    wrong = [each for each in verdicts if each.corrections]
    changes = [ConfigResource(ConfigResourceType.TOPIC, each.topic, dict(each.corrections)) for each in wrong]
    with open_admin(kafka) as admin:
        answers = admin.alter_configs(changes) if changes else {}
    for topic, answer in answers.get("topic", {}).items():
        if answer != "OK":
            raise ConfigurationError(f"topic {topic}: Kafka rejects the change of its settings: {answer}")
    return wrong


def _differs(name: str, wanted: str, found: str) -> bool:
    if name == "max.message.bytes":
        return int(found) < int(wanted)
    return sorted(found.replace(" ", "").split(",")) != sorted(wanted.split(","))
