"""`crossrec setup`: prepares Kafka's topics and the online store. Knows the steps, their order and the output."""

from services.settings.load import load_settings
from services.settings.terminal import open_console


def setup_command() -> None:
    """Create the Kafka topics, register the feature views with Feast. Safe to repeat.

    What exists already is corrected (retention, cleanup policy, ...) or refused by name.
    """
    from services.features.schema import build_schema
    from services.kafka.group_rules import require_usable
    from services.kafka.topic_settings import correct_topics
    from services.kafka.topics import create_topics, topic_specs
    from services.settings.folders import require_folders
    from services.store.connect import check_rights, open_rows_for_batches
    from services.store.feast_registry import apply_definitions

    console, settings = open_console(), load_settings()
    require_folders(settings)
    kafka = settings.kafka
    specs = topic_specs(kafka.topic_prefix, kafka.partitions, settings.retention)
    created = create_topics(kafka, specs, kafka.replication_factor)
    console.print(f"topics created: {', '.join(created) or 'none, all exist'}")
    for verdict in correct_topics(kafka, specs, kafka.replication_factor):
        changes = ", ".join(
            f"{name} is now {value}, was {verdict.found[name]}" for name, value in verdict.corrections.items()
        )
        console.print(f"topic {verdict.topic}: {changes}")
    require_usable(kafka, settings.group_topics())
    apply_definitions(settings)
    console.print(f"feature views registered in {settings.store.registry}")
    rows = open_rows_for_batches(settings)
    check_rights(rows)
    if settings.store.user_retention_days:
        schema = build_schema(settings.features)
        expiring = sum(rows.expire(schema[view]) for view in ("user", "user_scenario"))
        console.print(f"user rows that now expire in {settings.store.user_retention_days} days: {expiring:,}")
