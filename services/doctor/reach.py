"""Checks of the registries and the text encoder; those of Kafka and the online store stand beside it."""

from collections.abc import Iterator

from services.doctor.check import Check, ok, warning, wrong
from services.doctor.kafka import kafka_checks
from services.doctor.store import store_checks
from services.errors import CrossRecError
from services.features.schema import build_schema
from services.registry.compatibility import config_differences, model_differences
from services.registry.promotion import find_serving
from services.registry.reader import BATCHED, Registry
from services.settings.folders import judge_folders
from services.settings.load import Settings
from services.settings.places import require_dataset
from services.text.encoder import read_encoder_info


def reach_checks(settings: Settings) -> Iterator[Check]:
    """All checks of configured services and files."""
    yield folder_check(settings)
    yield from kafka_checks(settings)
    yield from store_checks(settings.store)
    yield registry_check(settings)
    yield from model_checks(settings)


def folder_check(settings: Settings) -> Check:
    """Check the files and folders that exist already where the settings point."""
    try:
        require_dataset(settings)
    except CrossRecError as error:
        return wrong("folders", str(error), "set dataset.name, or registry_dir and encoder_dir")
    if found := judge_folders(settings):
        return wrong("folders", "; ".join(found), "change the setting, or who may read and write there")
    return ok("folders", "usable")


def registry_check(settings: Settings) -> Check:
    """Check whether Feast's registry has the views of the settings; its own clients read rows by it, no server does."""
    name, path = "feast registry", settings.store.registry
    if not path.exists():
        return warning(name, f"{path} is not there; Feast's own clients need it", "`crossrec setup` makes it")
    from services.store.feast_registry import is_registered, open_feature_store

    try:
        if is_registered(settings, open_feature_store(settings)):
            return ok(name, f"{path} has all views")
    except CrossRecError as error:
        return wrong(name, str(error), "delete it, and `crossrec setup` makes it anew")
    return wrong(name, f"{path} lacks views or features of the settings", "`crossrec setup` registers them")


def model_checks(settings: Settings) -> Iterator[Check]:
    """Check whether encoder and model exist and fit the schema of the settings."""
    chosen, schema = settings.ranking, build_schema(settings.features)
    try:
        encoder = read_encoder_info(settings.encoder_dir)
    except (CrossRecError, OSError) as error:
        yield wrong("text encoder", str(error), "`crossrec train` builds it")
        return
    if encoder.dims == schema.config.text_dims:
        yield ok("text encoder", f"{settings.encoder_dir}, {encoder.dims} dimensions, from {encoder.describe()}")
    else:
        found = f"{encoder.dims} dimensions, features.text_dims is {schema.config.text_dims}"
        yield wrong("text encoder", found, "set features.text_dims to the encoder's, or build another one")
    try:
        registry = Registry(settings.registry_dir, settings.registry_cache_dir)
        version = find_serving(registry, chosen.model, chosen.version, "ranking.model")
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
