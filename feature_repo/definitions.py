"""Feast's entities, views and feature services, looped from the schema table.

Feast imports this file as a top-level module; it holds definitions only. services/features/stored_features.py defines
columns and lengths.
"""

from datetime import timedelta
from pathlib import Path

from feast import Entity, FeatureService, FeatureView, Field, FileSource
from feast.types import Array, Float64, Int64, String
from feast.value_type import ValueType

from services.features.feature import SCALAR, Feature
from services.features.schema import View, build_schema
from services.settings.load import Settings

TYPES = {"float64": Float64, "int64": Int64, "string": String}


def field_of(feature: Feature) -> Field:
    """One column of a feature view."""
    dtype = TYPES[feature.dtype]
    what = f"{feature.description} (half-life {feature.half_life})" if feature.half_life else feature.description
    return Field(name=feature.name, dtype=dtype if feature.length == SCALAR else Array(dtype), description=what)


def feature_view_of(view: View, entities: dict[str, Entity], offline_dir: Path) -> FeatureView:
    """The Feast view of a schema view; replayed rows are its offline source."""
    path = (offline_dir / f"{view.name}.parquet").resolve()
    return FeatureView(
        name=view.name,
        entities=[entities[entity] for entity in view.entities],
        schema=[
            *(Field(name=entity, dtype=String) for entity in view.entities),
            *(field_of(feature) for feature in view.features),
        ],
        source=FileSource(name=f"{view.name}_rows", path=str(path), timestamp_field="event_timestamp"),
        ttl=timedelta(0),
        description=f"written by the {view.writer}",
    )


def build_definitions(settings: Settings) -> dict[str, Entity | FeatureView | FeatureService]:
    """Feast objects under these settings, by name."""
    schema = build_schema(settings.features)
    names = dict.fromkeys(entity for view in schema.views for entity in view.entities)
    entities = {
        name: Entity(name=name.removesuffix("_id"), join_keys=[name], value_type=ValueType.STRING) for name in names
    }
    views = {view.name: feature_view_of(view, entities, settings.store.offline_dir) for view in schema.views}
    internal = ("scenario_index", "topic_state", "schema_lineage", "erased_user")
    ranking = FeatureService(
        name="ranking",
        description="all features that the ranking server reads for a request",
        features=[view for name, view in views.items() if name not in internal],
    )
    user_behavior = FeatureService(
        name="user_behavior",
        description="behaviour of a user, over all scenarios and per scenario",
        features=[views["user"], views["user_scenario"]],
    )
    return {
        **{f"entity_{name}": entity for name, entity in entities.items()},
        **{f"view_{name}": view for name, view in views.items()},
        "service_ranking": ranking,
        "service_user_behavior": user_behavior,
    }


# Feast collects the objects in a module's globals.
globals().update(build_definitions(Settings()))
