"""`crossrec doctor` and `crossrec setup` on a real Kafka with groups and topics that others made."""

import uuid
from dataclasses import replace

import pytest
from kafka import OffsetAndMetadata, TopicPartition
from kafka.consumer import KafkaConsumer
from typer.testing import CliRunner

from services.doctor.check import CheckState
from services.doctor.kafka import kafka_checks
from services.events.routing import topic_name
from services.kafka.topics import create_topics, topic_specs
from services.main import app
from services.settings.infrastructure import KafkaSettings
from tests.integration.consumer_harness import Stage

pytestmark = pytest.mark.integration


def test_what_setup_made_is_all_right(stage: Stage) -> None:
    """Topics, groups, limits, rights and clock."""
    found = {check.name: check.state for check in kafka_checks(stage.settings)}
    names = ["Kafka", "topics", "consumer groups", "Kafka's limits", "Kafka's rights", "clock"]
    assert dict.fromkeys(names, CheckState.OK) == found


def test_what_others_made_is_named(stage: Stage) -> None:
    """By the doctor and, where it cannot be corrected, by setup, which changes nothing then."""
    name = f"made-{uuid.uuid4().hex[:8]}"
    kafka = KafkaSettings(bootstrap_servers=stage.settings.kafka.bootstrap_servers, topic_prefix=name)
    settings = stage.settings.model_copy(update={"kafka": kafka})
    specs = [replace(spec, config=spec.config | {"retention.bytes": "4096"}) for spec in topic_specs(name)]
    create_topics(kafka, specs)
    partition = TopicPartition(topic_name(name, "behavior"), 0)
    with KafkaConsumer(bootstrap_servers=kafka.bootstrap_servers, group_id=settings.group("behavior")) as member:
        member.assign([partition])
        member.commit({partition: OffsetAndMetadata(7, "", -1)})
    found = {check.name: check for check in kafka_checks(settings)}
    assert CheckState.WARNING == found[f"topic {name}.behavior"].state
    assert "retention.bytes is 4096, not -1" in found[f"topic {name}.behavior"].found
    place = f"group {settings.group('behavior')} is at offset 7 of {name}.behavior, partition 0, which ends at 0"
    assert CheckState.WRONG == found["consumer groups"].state
    assert place in found["consumer groups"].found
    result = CliRunner().invoke(app, ["setup"], env=stage.variables() | {"CROSSREC_KAFKA__TOPIC_PREFIX": name})
    assert result.exit_code
    assert place in str(result.exception or result.output)
