"""Checks of Kafka: what the brokers have and allow, against what the settings ask for."""

import pytest

from services.doctor import kafka as checks
from services.doctor.check import CheckState
from services.doctor.kafka import clock_check, group_check, kafka_checks, limit_checks, rights_check, topic_checks
from services.kafka.connection import KafkaUnavailable
from services.kafka.inspection import LEAST, Rights
from services.kafka.topic_settings import TopicVerdict
from services.settings.infrastructure import KafkaSettings
from services.settings.load import Settings
from services.settings.processes import ConsumerSettings, ServedLogSettings

SETTINGS = Settings()
TOPICS = tuple(f"crossrec.{name}" for name in ("behavior", "items", "scenarios", "activity", "dead-letter", "ranked"))
LIMITS = {
    "transaction.max.timeout.ms": 900_000,
    "group.max.session.timeout.ms": 1_800_000,
    "offsets.retention.minutes": 30 * 1440,
    LEAST: 6000,
}


def test_a_kafka_that_does_not_answer_is_the_only_finding() -> None:
    """Nothing else can be asked."""
    (check,) = kafka_checks(Settings(kafka=KafkaSettings(bootstrap_servers="127.0.0.1:1")))
    assert CheckState.WRONG == check.state
    assert "127.0.0.1:1 does not answer" in check.found


def test_topics_are_judged_as_setup_judges_them() -> None:
    """What it corrects is a warning, what it refuses is wrong."""
    fine = TopicVerdict("a", {}, {}, [])
    assert [CheckState.OK] == [check.state for check in topic_checks([fine])]
    fixable = TopicVerdict("b", {"cleanup.policy": "delete"}, {"cleanup.policy": "compact"}, [])
    refused = TopicVerdict("c", {}, {}, ["3 partitions, not 4: ..."])
    warned, bad = topic_checks([fine, fixable, refused])
    assert (CheckState.WARNING, "topic b", "cleanup.policy is compact, not delete") == (
        warned.state,
        warned.name,
        warned.found,
    )
    assert (CheckState.WRONG, "topic c") == (bad.state, bad.name)


def test_groups_that_consumers_cannot_use_are_wrong() -> None:
    """With the reason."""
    assert CheckState.OK == group_check([]).state
    assert (CheckState.WRONG, "group g is one of connect") == (
        group_check(["group g is one of connect"]).state,
        group_check(["group g is one of connect"]).found,
    )


def test_time_outs_beyond_the_brokers_are_wrong() -> None:
    """Consumers could not join, or their transactions not begin."""
    (check,) = limit_checks(SETTINGS, LIMITS)
    assert CheckState.OK == check.state
    long = Settings(consumers=ConsumerSettings(transaction_timeout_ms=1_000_000, session_timeout_ms=5000))
    (check,) = limit_checks(long, LIMITS)
    assert CheckState.WRONG == check.state
    assert "consumers.transaction_timeout_ms 1000000 is more than transaction.max.timeout.ms 900000" in check.found
    assert f"consumers.session_timeout_ms 5000 is less than {LEAST} 6000" in check.found
    (check,) = limit_checks(SETTINGS, {})
    assert CheckState.OK == check.state


def test_offsets_that_expire_before_the_records_are_a_warning() -> None:
    """A stopped group would begin anew."""
    (check,) = limit_checks(SETTINGS, LIMITS | {"offsets.retention.minutes": 7 * 1440})
    assert CheckState.WARNING == check.state
    assert "expire after 7 days, behaviour after 30" in check.found


def test_missing_rights_are_named_by_process() -> None:
    """Another principal may run that process, so they are a warning."""
    everything = dict.fromkeys(TOPICS, ("READ", "WRITE", "DESCRIBE"))
    groups = {SETTINGS.group("behavior"): ("READ",)}
    assert CheckState.OK == rights_check(SETTINGS, Rights(everything, groups)).state
    few = everything | {"crossrec.items": ("READ",), "crossrec.activity": ("DESCRIBE",)}
    check = rights_check(SETTINGS, Rights(few, {SETTINGS.group("behavior"): ()}))
    assert CheckState.WARNING == check.state
    for part in (
        "gateway: no WRITE on crossrec.items",
        "consumers: no WRITE on crossrec.activity",
        "consumers: no READ on crossrec.activity",
        "consumers: no READ on group crossrec-behavior",
    ):
        assert part in check.found
    assert "ranked" not in check.found
    served = Settings(served_log=ServedLogSettings(share=0.1))
    check = rights_check(served, Rights(everything | {"crossrec.ranked": ("READ",)}, groups))
    assert "ranking's served log: no WRITE on crossrec.ranked" in check.found


@pytest.mark.parametrize(
    ("skew_s", "state", "found"),
    [
        (0.3, CheckState.OK, "agrees with Kafka's within 2 s"),
        (-12.0, CheckState.WARNING, "Kafka's is 12.0 s behind"),
        (4000.0, CheckState.WRONG, "Kafka's is 4000.0 s ahead"),
    ],
)
def test_clocks_are_compared(monkeypatch: pytest.MonkeyPatch, skew_s: float, state: CheckState, found: str) -> None:
    """Beyond the tolerance of event times, events are rejected."""
    monkeypatch.setattr(checks, "clock_skew_s", lambda *_: skew_s)
    check = clock_check(SETTINGS, "crossrec.dead-letter")
    assert (state, found) == (check.state, check.found)


def test_a_clock_that_cannot_be_compared_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    """For lack of a right, for example."""

    def refuse(*_: object) -> float:
        raise KafkaUnavailable("TopicAuthorizationFailedError")

    monkeypatch.setattr(checks, "clock_skew_s", refuse)
    assert CheckState.WARNING == clock_check(SETTINGS, "crossrec.dead-letter").state
