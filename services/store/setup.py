"""`crossrec setup`: what Kafka and the online store need before anything runs. Knows the order and what to print."""

from rich.console import Console

from services.settings.load import load_settings


def setup_command() -> None:
    """Create the Kafka topics, apply their retention, register the feature views with Feast. Safe to repeat."""
    from services.features.schema import build_schema
    from services.kafka.topics import apply_retention, create_topics, topic_specs
    from services.store.connect import apply_definitions, open_rows_for_batches

    console, chosen = Console(), load_settings()
    kafka = chosen.kafka
    specs = topic_specs(kafka.topic_prefix, kafka.partitions, chosen.retention)
    created = create_topics(kafka, specs, kafka.replication_factor)
    console.print(f"topics created: {', '.join(created) or 'none, all exist'}")
    for topic, changed in apply_retention(kafka, specs).items():
        console.print(f"retention of {topic}: {', '.join(f'{name} is now {value}' for name, value in changed.items())}")
    apply_definitions(chosen)
    console.print(f"feature views registered in {chosen.store.registry}")
    if chosen.store.user_retention_days:
        rows, built = open_rows_for_batches(chosen), build_schema(chosen.features)
        expiring = sum(rows.expire(built[view]) for view in ("user", "user_scenario"))
        console.print(f"rows of users that expire in {chosen.store.user_retention_days} days now: {expiring:,}")
