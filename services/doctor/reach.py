"""Checks of the configured Kafka, model registry and text encoder; those of the online store stand in store.py."""

from collections.abc import Iterator

from services.doctor.check import Check, ok, warning, wrong
from services.doctor.store import store_checks
from services.errors import CrossRecError
from services.features.schema import build_schema
from services.kafka.connection import KafkaUnavailable
from services.kafka.topics import list_topics, topic_specs
from services.registry.compatibility import config_differences, model_differences
from services.registry.reader import BATCHED, Registry, find_version
from services.settings.infrastructure import KafkaSettings
from services.settings.load import Settings
from services.text.encoder import read_encoder_info

WAIT_S = 3.0
"""Time-out of a broker, seconds."""


def reach_checks(settings: Settings) -> Iterator[Check]:
    """All checks of configured services and files."""
    yield kafka_check(settings.kafka)
    yield from store_checks(settings.store)
    yield from model_checks(settings)


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


def model_checks(settings: Settings) -> Iterator[Check]:
    """Check whether encoder and model exist and fit the schema of the settings."""
    chosen, schema = settings.ranking, build_schema(settings.features)
    try:
        encoder = read_encoder_info(settings.encoder_dir)
    except (CrossRecError, OSError) as error:
        yield wrong("text encoder", str(error), "`crossrec train` builds it")
        return
    if encoder.dims == schema.config.text_dims:
        yield ok("text encoder", f"{settings.encoder_dir}, {encoder.dims} dimensions, from {encoder.source}")
    else:
        found = f"{encoder.dims} dimensions, features.text_dims is {schema.config.text_dims}"
        yield wrong("text encoder", found, "set features.text_dims to the encoder's, or build another one")
    try:
        registry = Registry(settings.registry_dir, settings.registry_cache_dir)
        version = find_version(registry, chosen.model, chosen.version)
        manifest, where = registry.manifest(version), registry.where(version)
    except CrossRecError as error:
        yield wrong("model", str(error), "`crossrec train`, or set ranking.model and ranking.version")
        return
    # Other feature settings change names in every tensor: their differences add nothing.
    if differs := config_differences(manifest, schema) or model_differences(manifest, schema, encoder.fingerprint):
        yield wrong("model", f"{where} does not fit: {'; '.join(differs)}", "train the model again with these settings")
    else:
        yield ok("model", f"{where} fits schema and encoder")
    if chosen.batch_wait_ms > 0 and BATCHED not in manifest.get("files", {}):
        found = "ranking.batch_wait_ms is set, but the model has no graph for several requests"
        yield warning("batching", found, "train the model again, or set ranking.batch_wait_ms to 0")
