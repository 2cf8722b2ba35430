"""Feast's view of the store: its registry, to which feature_repo's definitions are applied, and its own clients.

Serves `crossrec setup`, offline rows, and users of Feast. Importing this module takes seconds: no server and no
consumer does.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from google.protobuf.message import DecodeError

from services.errors import ConfigurationError
from services.settings.load import Settings
from services.store.feast_api import FeatureStore, FeatureView, RepoConfig
from services.store.redis.online_store import TYPE

REPOSITORY = Path(__file__).resolve().parents[2] / "feature_repo"


def open_feature_store(settings: Settings) -> FeatureStore:
    """The Feast feature store of the settings, connected lazily; applies no definitions."""
    timeouts = f"socket_timeout={settings.store.read_timeout_s},socket_connect_timeout={settings.store.read_timeout_s}"
    config = RepoConfig(
        project=settings.store.project,
        provider="local",
        registry=str(settings.store.registry.resolve()),
        offline_store={"type": "dask"},
        online_store={
            "type": TYPE,
            "connection_string": f"{settings.store.url},{timeouts}",
            "user_retention_days": settings.store.user_retention_days,
            "access": settings.store,
        },
        entity_key_serialization_version=3,
    )
    with _registry_errors(settings):
        return FeatureStore(config=config)


@contextmanager
def _registry_errors(settings: Settings) -> Iterator[None]:
    """Raise ConfigurationError for what Feast raises about a file that is no registry."""
    try:
        yield
    except DecodeError as error:
        path = settings.store.registry
        raise ConfigurationError(
            f"store.registry: {path} is not a registry of Feast: delete it, and it is made anew"
        ) from error
    except OSError as error:
        path = settings.store.registry
        raise ConfigurationError(
            f"store.registry: {path} is not a registry of Feast: {error.strerror or error}"
        ) from error


def apply_definitions(settings: Settings) -> FeatureStore:
    """Register the entities, views and services of feature_repo, as `feast apply` does.

    Raises ConfigurationError if the registry is none.
    """
    settings.store.registry.parent.mkdir(parents=True, exist_ok=True)
    definitions = _load_definitions(settings)
    with _registry_errors(settings):
        store = open_feature_store(settings)
        store.apply(definitions)
    return store


def _load_definitions(settings: Settings) -> list[Any]:
    """The objects of feature_repo under these settings."""
    import importlib.util

    spec = importlib.util.spec_from_file_location("crossrec_definitions", REPOSITORY / "definitions.py")
    if spec is None or spec.loader is None:
        raise FileNotFoundError(f"no definitions in {REPOSITORY}")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return list(module.build_definitions(settings).values())


def is_registered(settings: Settings, store: FeatureStore) -> bool:
    """Whether the registry has all views of the settings, with their keys, features and types; it may have more."""
    with _registry_errors(settings):
        registered = {view.name: view for view in store.list_feature_views()}
    views = [each for each in _load_definitions(settings) if isinstance(each, FeatureView)]
    return all(view.name in registered and _has_form_of(registered[view.name], view) for view in views)


def _has_form_of(registered: FeatureView, view: FeatureView) -> bool:
    # Entities as names and join keys as columns: a view that was not registered yet has only these.
    keys = [{column.name for column in each.entity_columns} or set(each.join_keys) for each in (registered, view)]
    types = [{feature.name: feature.dtype for feature in each.features} for each in (registered, view)]
    return registered.entities == view.entities and keys[0] == keys[1] and types[1].items() <= types[0].items()


def feast_environment(settings: Settings) -> dict[str, str]:
    """Environment variables for the `feast` command to read feature_repo/feature_store.yaml with these settings."""
    store = settings.store
    files = ("password_file", "ca_file", "certificate_file", "key_file")
    access = {
        "username": store.username,
        "password": store.password.get_secret_value(),
        **{name: str(path.resolve()) for name in files if (path := getattr(store, name))},
    }
    return {
        **os.environ,
        **{f"CROSSREC_STORE__{name.upper()}": value for name, value in access.items() if value},
        "CROSSREC_STORE__URL": settings.store.url,
        "CROSSREC_STORE__PROJECT": settings.store.project,
        "CROSSREC_STORE__OFFLINE_DIR": str(settings.store.offline_dir.resolve()),
        "CROSSREC_STORE__REGISTRY": str(settings.store.registry.resolve()),
    }
