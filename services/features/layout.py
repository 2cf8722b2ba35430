"""Layout of stored rows under a feature schema, and compatibility of two schemas over the same rows.

A newer schema may add views and features, drop features, and append attributes and event types: rows of the older
schema are read with defaults for what is new. A change that would give stored numbers another meaning is a conflict.
Pure; `services.store.schema_lineage` stores the layouts.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass

import numpy as np

from services.features.feature import VARIABLE
from services.features.rows import Row, default_value
from services.features.schema import Schema, View


@dataclass(frozen=True)
class FeatureLayout:
    """How one feature is stored.

    Args:
        dtype: type of a value.
        length: as of `Feature.length`.
        half_life: as of `Feature.half_life`.
        names: as of `Feature.names`.
    """

    dtype: str
    length: int
    half_life: str
    names: tuple[str, ...] | None = None


@dataclass(frozen=True)
class ViewLayout:
    """How rows of a view are stored: entity keys, and features by name."""

    entities: tuple[str, ...]
    features: Mapping[str, FeatureLayout]


@dataclass(frozen=True)
class SchemaLayout:
    """How all rows are stored.

    Args:
        views: by name.
        engagement: event types in the order of the count arrays, with their weights in decayed engagement.
    """

    views: Mapping[str, ViewLayout]
    engagement: Mapping[str, float]

    def to_json(self) -> str:
        """Serialize to JSON text."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "SchemaLayout":
        """Parse the text of `to_json`."""
        content = json.loads(text)
        views = {}
        for name, view in content["views"].items():
            features = {
                feature: FeatureLayout(
                    **stored | {"names": None if stored["names"] is None else tuple(stored["names"])}
                )
                for feature, stored in view["features"].items()
            }
            views[name] = ViewLayout(tuple(view["entities"]), features)
        return cls(views, content["engagement"])


def describe_layout(schema: Schema) -> SchemaLayout:
    """The layout of rows under a schema."""
    weights = {name: float(schema.config.engagement.get(name, 0.0)) for name in schema.event_types}
    return SchemaLayout({view.name: _view_layout(view) for view in schema.views}, weights)


def _view_layout(view: View) -> ViewLayout:
    features = {f.name: FeatureLayout(f.dtype, f.length, f.half_life, f.names) for f in view.features}
    return ViewLayout(view.entities, features)


def find_conflicts(old: SchemaLayout, new: SchemaLayout) -> list[str]:
    """Reasons why rows of `old` cannot be read and folded on under `new`, each naming a feature; empty if they can."""
    found = []
    if list(new.engagement.items())[: len(old.engagement)] != list(old.engagement.items()):
        stored_weights, weights = _format_weights(old.engagement), _format_weights(new.engagement)
        found.append(f"features.engagement: stored sums were weighted {stored_weights}, now {weights}")
    for name, view in new.views.items():
        stored = old.views.get(name)
        if stored is None:
            continue
        if stored.entities != view.entities:
            found.append(f"{name}: rows are keyed by {', '.join(stored.entities)}, now by {', '.join(view.entities)}")
        found += [f"{name}.{reason}" for reason in _feature_conflicts(stored.features, view.features)]
    return found


def _feature_conflicts(old: Mapping[str, FeatureLayout], new: Mapping[str, FeatureLayout]) -> Iterator[str]:
    for name, feature in new.items():
        stored = old.get(name)
        if stored is None:
            table = _table_key(name, new)
            if table != name and table in old:
                yield f"{name}: is new in the table of {table}, whose stored entries have no such value"
            continue
        if stored.dtype != feature.dtype:
            yield f"{name}: stored as {stored.dtype}, now {feature.dtype}"
        if stored.half_life != feature.half_life:
            yield f"{name}: decays with half-life {stored.half_life or 'none'}, now {feature.half_life or 'none'}"
        if feature.names is not None and stored.names is not None:
            if feature.names[: len(stored.names)] != stored.names:
                yield (
                    f"{name}: rows hold {_format_names(stored.names)}, now {_format_names(feature.names)}; "
                    "new names must be appended"
                )
        elif stored.length != feature.length:
            yield f"{name}: length {stored.length} in stored rows, now {feature.length}"


def _table_key(name: str, features: Mapping[str, FeatureLayout]) -> str:
    """The key feature of the table that `name` is a column of, or `name` itself."""
    if features[name].length != VARIABLE:
        return name
    keys = [key for key, f in features.items() if f.length == VARIABLE and (key.endswith("_key") or key == "event_ids")]
    return max((key for key in keys if name.startswith(key.rpartition("_")[0] + "_")), key=len, default=name)


def adapt_row(view: View, row: Row, stored: SchemaLayout) -> Row:
    """Convert a row written under `stored` to the view: defaults for new features, without dropped ones."""
    known = stored.views[view.name].features if view.name in stored.views else {}
    result: Row = {}
    for feature in view.features:
        default = default_value(feature)
        value = row[feature.name] if feature.name in known else default
        if feature.length >= 0 and len(value) != feature.length:
            value = np.concatenate([value[: feature.length], default[len(value) :]])
        result[feature.name] = value
    return result


def find_missing_features(view: View, stored: SchemaLayout) -> list[str]:
    """Features of the view that rows written under `stored` lack."""
    known = stored.views[view.name].features if view.name in stored.views else {}
    return [feature.name for feature in view.features if feature.name not in known]


def find_unknown_event_types(layout: SchemaLayout, stored: SchemaLayout) -> list[str]:
    """Event types counted in rows written under `stored` that `layout` lacks."""
    return [name for name in stored.engagement if name not in layout.engagement]


def _format_names(names: tuple[str, ...]) -> str:
    return ", ".join(names) or "none"


def _format_weights(weights: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {weight:g}" for name, weight in weights.items())
