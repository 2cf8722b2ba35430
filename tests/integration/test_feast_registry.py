"""A Feast registry that somebody else has made: corrected where it differs, refused by name where it is none.

Needs no server: the store is opened and not asked.
"""

from pathlib import Path

import pytest
from feast import Entity, FeatureView, Field, FileSource
from feast.types import Array, Int64, String
from feast.value_type import ValueType

from services.doctor.check import CheckState
from services.doctor.reach import registry_check
from services.errors import ConfigurationError
from services.features.schema import build_schema
from services.settings.infrastructure import StoreSettings
from services.settings.load import Settings
from services.store.connect import open_rows
from services.store.feast_registry import apply_definitions, open_feature_store

pytestmark = pytest.mark.integration


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    store = StoreSettings(
        url="127.0.0.1:1", project="registry", registry=tmp_path / "registry.db", offline_dir=tmp_path
    )
    return Settings(store=store)


def foreign_view(settings: Settings, key: str) -> None:
    """A view `scenario` with the right names of features, other types, and an entity of its own."""
    features = build_schema(settings.features)["scenario"].features
    entity = Entity(name="place", join_keys=[key], value_type=ValueType.STRING)
    source = FileSource(name="other", path=str(settings.store.offline_dir / "other.parquet"), timestamp_field="t")
    fields = [Field(name=feature.name, dtype=Array(Int64)) for feature in features]
    view = FeatureView(
        name="scenario", entities=[entity], schema=[Field(name=key, dtype=String), *fields], source=source
    )
    open_feature_store(settings).apply([entity, view])


@pytest.mark.parametrize("key", ["scenario_id", "place_id"])
def test_views_of_another_form_are_registered_anew(key: str, settings: Settings) -> None:
    """Types and entities are compared, not names alone; the doctor says what is registered."""
    foreign_view(settings, key)
    assert CheckState.WRONG == registry_check(settings).state
    apply_definitions(settings)
    assert CheckState.OK == registry_check(settings).state
    view = open_feature_store(settings).get_feature_view("scenario")
    assert ["scenario_id"] == view.join_keys
    types = {feature.name: feature.dtype for feature in view.features}
    assert String == types["name"]


def test_without_a_registry_nothing_but_feast_is_affected(settings: Settings) -> None:
    """Rows are opened without it, and none is made; the doctor says who needs it."""
    open_rows(settings)
    assert not settings.store.registry.exists()
    check = registry_check(settings)
    assert (CheckState.WARNING, "`crossrec setup` makes it") == (check.state, check.advice)


@pytest.mark.parametrize("content", [b"no registry \xff", None])
def test_what_is_no_registry_is_refused(content: bytes | None, settings: Settings) -> None:
    """The error names the setting and the file."""
    if content is None:
        settings.store.registry.mkdir()
    else:
        settings.store.registry.write_bytes(content)
    with pytest.raises(ConfigurationError, match=r"store.registry: .*registry\.db is not a registry of Feast"):
        apply_definitions(settings)
    assert CheckState.WRONG == registry_check(settings).state
    if content is not None:
        assert content == settings.store.registry.read_bytes()
