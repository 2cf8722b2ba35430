"""Specifications of the topics; an integration test creates them on a real Kafka."""

from services.kafka.topics import RETENTION, topic_specs
from services.settings.infrastructure import RetentionSettings

DAY_MS = 86_400_000


def test_topics_and_partitions() -> None:
    """Partitions follow the argument, except for topics with one writer or rare records, which have one."""
    assert {spec.name: spec.partitions for spec in topic_specs("shop", partitions=12)} == {
        "shop.behavior": 12,
        "shop.items": 12,
        "shop.scenarios": 1,
        "shop.activity": 12,
        "shop.dead-letter": 1,
        "shop.ranked": 12,
    }


def test_state_is_compacted_and_history_expires() -> None:
    """Items and scenarios keep the last record of each key; the others keep some days."""
    configs = {spec.name: spec.config for spec in topic_specs()}
    assert {name for name, config in configs.items() if config["cleanup.policy"] == "compact"} == {
        "crossrec.items",
        "crossrec.scenarios",
    }
    days = {n: int(c["retention.ms"]) // DAY_MS for n, c in configs.items() if "retention.ms" in c}
    assert days == {
        "crossrec.behavior": 30,
        "crossrec.activity": 7,
        "crossrec.dead-letter": 30,
        "crossrec.ranked": 7,
    }


def test_retention_days_follow_the_settings() -> None:
    """In compacted topics they apply to tombstones, in the others to all records."""
    kept = RetentionSettings(behavior_days=3, activity_days=2, dead_letter_days=5, ranked_days=1, deletion_days=4)
    found = {
        spec.name: {name: int(value) // DAY_MS for name, value in spec.config.items() if name in RETENTION}
        for spec in topic_specs(retention=kept)
    }
    assert found == {
        "crossrec.behavior": {"retention.ms": 3},
        "crossrec.items": {"delete.retention.ms": 4},
        "crossrec.scenarios": {"delete.retention.ms": 4},
        "crossrec.activity": {"retention.ms": 2},
        "crossrec.dead-letter": {"retention.ms": 5},
        "crossrec.ranked": {"retention.ms": 1},
    }


def test_retention_counts_from_arrival() -> None:
    """A replayed history, whose events are years old, is kept as long as new events."""
    for spec in topic_specs():
        if spec.config["cleanup.policy"] == "delete":
            assert spec.config["message.timestamp.type"] == "LogAppendTime"
