"""Feast's entities, views and feature services, looped from the schema table.

Feast imports this file as a top-level module; it holds definitions only. Columns and lengths are decided in
services/features/schema.py, nowhere else.
"""

from datetime import timedelta

from feast import Entity, FeatureService, FeatureView, Field, FileSource
from feast.types import Array, Float64, Int64, String
from feast.value_type import ValueType

from services.features.schema import SCALAR, Feature, View, build_schema
from services.runtime.settings import Settings

TYPES = {"float64": Float64, "int64": Int64, "string": String}
SETTINGS = Settings()
SCHEMA = build_schema(SETTINGS.features)

ENTITIES = {
    name: Entity(name=name.removesuffix("_id"), join_keys=[name], value_type=ValueType.STRING)
    for name in dict.fromkeys(entity for view in SCHEMA.views for entity in view.entities)
}


def field_of(feature: Feature) -> Field:
    """One column of a feature view."""
    dtype = TYPES[feature.dtype]
    what = f"{feature.what} (half-life {feature.half_life})" if feature.half_life else feature.what
    return Field(name=feature.name, dtype=dtype if feature.length == SCALAR else Array(dtype), description=what)


def feature_view_of(view: View) -> FeatureView:
    """The Feast view of a schema view; replayed rows are its offline source."""
    path = (SETTINGS.store.offline_dir / f"{view.name}.parquet").resolve()
    return FeatureView(
        name=view.name,
        entities=[ENTITIES[entity] for entity in view.entities],
        schema=[
            *(Field(name=entity, dtype=String) for entity in view.entities),
            *(field_of(feature) for feature in view.features),
        ],
        source=FileSource(name=f"{view.name}_rows", path=str(path), timestamp_field="event_timestamp"),
        ttl=timedelta(0),
        description=f"written by the {view.writer}",
    )


VIEWS = {view.name: feature_view_of(view) for view in SCHEMA.views}

for entity in ENTITIES.values():
    globals()[f"entity_{entity.name}"] = entity
for name, feature_view in VIEWS.items():
    globals()[f"view_{name}"] = feature_view

ranking = FeatureService(
    name="ranking",
    description="everything that the ranking server reads for a request",
    features=[view for name, view in VIEWS.items() if name != "scenario_index"],
)
user_behavior = FeatureService(
    name="user_behavior",
    description="what a user did, over all scenarios and in one",
    features=[VIEWS["user"], VIEWS["user_scenario"]],
)
