"""Checks of the configured Kafka: topics, groups, limits, rights and the clock."""

from collections.abc import Iterator, Mapping

from services.doctor.check import Check, ok, warning, wrong
from services.errors import CrossRecError
from services.kafka.connection import KafkaUnavailable
from services.kafka.group_rules import judge_groups
from services.kafka.inspection import LEAST, Rights, clock_skew_s, read_limits, read_rights
from services.kafka.topic_settings import TopicVerdict, judge_topics
from services.kafka.topics import DEAD_LETTERS, RANKED, list_topics, topic_specs
from services.settings.infrastructure import KafkaSettings
from services.settings.load import Settings

WAIT_S = 3.0
"""Time-out of a broker, seconds."""

SKEW_S = 2.0
"""A clock that differs by more makes event times and freshness wrong by as much, seconds."""


def kafka_checks(settings: Settings) -> Iterator[Check]:
    """All checks of Kafka; only the first one if it does not answer."""
    kafka = settings.kafka
    first = kafka_check(kafka)
    yield first
    if "does not answer" in first.found:
        return
    specs = topic_specs(kafka.topic_prefix, kafka.partitions, settings.retention)
    try:
        verdicts = judge_topics(kafka, specs, kafka.replication_factor)
        yield from topic_checks(verdicts)
        groups = settings.group_topics()
        yield group_check(judge_groups(kafka, groups))
        yield from limit_checks(settings, read_limits(kafka))
        yield rights_check(settings, read_rights(kafka, [each.topic for each in verdicts], list(groups)))
    except CrossRecError as error:
        yield wrong("Kafka's settings", str(error), "grant Describe and DescribeConfigs, or ask those who run Kafka")
        return
    dead_letters = f"{kafka.topic_prefix}.{DEAD_LETTERS}"
    if any(each.topic == dead_letters and "message.timestamp.type" not in each.corrections for each in verdicts):
        yield clock_check(settings, dead_letters)


def kafka_check(kafka: KafkaSettings) -> Check:
    """Check whether the brokers answer and have the topics."""
    name, servers = "Kafka", kafka.bootstrap_servers
    try:
        there = list_topics(kafka, WAIT_S)
    except (KafkaUnavailable, OSError, ValueError) as error:
        found = f"{servers} does not answer: {type(error.__cause__ or error).__name__}"
        return wrong(name, found, "start it (`crossrec infra up`), or set kafka.bootstrap_servers")
    if missing := [spec.name for spec in topic_specs(kafka.topic_prefix) if spec.name not in there]:
        return wrong(name, f"{servers} answers, without {', '.join(missing)}", "run `crossrec setup`")
    return ok(name, f"{servers} answers and has the topics")


def topic_checks(verdicts: list[TopicVerdict]) -> Iterator[Check]:
    """Check the settings of the topics that exist."""
    bad = [each for each in verdicts if each.corrections or each.refusals]
    for each in bad:
        if each.refusals:
            yield wrong(f"topic {each.topic}", "; ".join(each.refusals), "`crossrec setup` refuses it")
        if each.corrections:
            yield warning(f"topic {each.topic}", each.describe_corrections(), "run `crossrec setup`, which corrects it")
    if verdicts and not bad:
        yield ok("topics", f"{len(verdicts)} as `crossrec setup` makes them")


def group_check(found: list[str]) -> Check:
    """Check the consumer groups that exist."""
    if found:
        return wrong("consumer groups", "; ".join(found), "choose another consumers.group_prefix, or rewind")
    return ok("consumer groups", "usable")


def limit_checks(settings: Settings, limits: Mapping[str, int]) -> Iterator[Check]:
    """Check what consumers ask for against what the brokers allow."""
    chosen, name = settings.consumers, "Kafka's limits"
    asked = (
        ("transaction.max.timeout.ms", "consumers.transaction_timeout_ms", chosen.transaction_timeout_ms),
        ("group.max.session.timeout.ms", "consumers.session_timeout_ms", chosen.session_timeout_ms),
    )
    bad = [
        f"{setting} {value} is more than {limit} {limits[limit]}"
        for limit, setting, value in asked
        if value > limits.get(limit, value)
    ]
    if chosen.session_timeout_ms < limits.get(LEAST, 0):
        bad.append(f"consumers.session_timeout_ms {chosen.session_timeout_ms} is less than {LEAST} {limits[LEAST]}")
    if bad:
        yield wrong(name, "; ".join(bad), "change the setting: consumers cannot join otherwise")
    wanted = settings.retention.behavior_days * 24 * 60
    kept = limits.get("offsets.retention.minutes", wanted)
    if kept < wanted:
        found = f"offsets of a stopped group expire after {kept / 1440:g} days, behaviour after {wanted / 1440:g}"
        yield warning(
            name, found, "raise offsets.retention.minutes of the brokers: a group without offsets begins anew"
        )
    if not bad and kept >= wanted:
        yield ok(name, "what consumers ask for is allowed")


def rights_check(settings: Settings, rights: Rights) -> Check:
    """Check what the principal of these settings may do, against what each process does."""
    name, prefix = "Kafka's rights", settings.kafka.topic_prefix
    read, activity = set(settings.group_topics().values()), settings.topic("activity")
    write = {"gateway": read - {activity}, "consumers": {activity, f"{prefix}.{DEAD_LETTERS}"}}
    if settings.served_log.share:
        write["ranking's served log"] = {f"{prefix}.{RANKED}"}
    lacks = [
        f"{process}: no WRITE on {topic}"
        for process, topics in write.items()
        for topic in sorted(topics)
        if not _may(rights.topics.get(topic), "WRITE")
    ]
    lacks += [f"consumers: no READ on {each}" for each in sorted(read) if not _may(rights.topics.get(each), "READ")]
    lacks += [f"consumers: no READ on group {each}" for each, may in rights.groups.items() if not _may(may, "READ")]
    if lacks:
        return warning(name, "; ".join(lacks), "grant them to the principal that runs these processes")
    return ok(name, "of gateway and consumers")


def clock_check(settings: Settings, topic: str) -> Check:
    """Check this machine's clock against that of a broker, which decides on event times."""
    name, tolerance_s = "clock", settings.gateway.future_tolerance_s
    try:
        skew_s = clock_skew_s(settings.kafka, topic, f"{settings.group_prefix}-doctor")
    except KafkaUnavailable as error:
        return warning(
            name, f"not compared with Kafka's: {error}", "grant Write on the dead-letter topic, or compare by hand"
        )
    found = f"Kafka's is {abs(skew_s):.1f} s {'ahead' if skew_s > 0 else 'behind'}"
    if abs(skew_s) > max(tolerance_s, SKEW_S):
        return wrong(name, found, "set both by NTP: events are rejected as too far ahead (gateway.future_tolerance_s)")
    if abs(skew_s) > SKEW_S:
        return warning(name, found, "set both by NTP: event times and freshness are wrong by as much")
    return ok(name, f"agrees with Kafka's within {SKEW_S:g} s")


def _may(operations: object, operation: str) -> bool:
    """Whether a right is there; unknown: the brokers check no rights."""
    return operations is None or operation in operations or "ALL" in operations  # type: ignore[operator]
