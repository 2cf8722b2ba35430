"""Reads the features of a request through Feast's public API: get_online_features, then the same encoding.

Baseline for the ranking server's direct reads, in speed and in scores.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from crossrec.ranking.v1 import ranking_pb2 as pb
from services.features.feature import VARIABLE, Feature
from services.features.feature_rows import FeatureRows, assemble_rows, encode_context
from services.features.hashing import keys64
from services.features.rows import DTYPES, Block, Row, default_value, pack_rows
from services.features.schema import Schema, View
from services.store.feast_api import FeatureStore
from services.store.folding import collect_facets
from services.store.protocol import Key

ViewNames = tuple[str, ...]
"""Names of the views that one call reads: those of the same entities."""


class FeastPath:
    """Reads the rows of requests through Feast.

    Args:
        store: the feature store.
        schema: the feature schema.
        encoder: fingerprint of the trusted text encoder.
    """

    def __init__(self, store: FeatureStore, schema: Schema, encoder: int) -> None:
        self._store, self._schema, self._encoder = store, schema, encoder
        (index,) = self._read(("scenario_index",), [("all",)])
        self.scenarios: list[str] = sorted(index.ragged["scenario_ids"].values.tolist())

    def hydrate(self, request: pb.RankRequest) -> FeatureRows:
        """Read the rows of a request; its time must be set."""
        user, items, scenarios = request.user_id, list(request.item_ids), self.scenarios
        pairs: list[Key] = [(item, scenario) for item in items for scenario in scenarios]
        names = ("scenario", "scenario_activity"), ("user",), ("user_scenario",), ("item", "item_activity")
        keys: list[list[Key]] = [[(s,) for s in scenarios], [(user,)], [(user, s) for s in scenarios]]
        keys.append([(item,) for item in items])
        blocks = dict(zip(names[0], self._read(names[0], keys[0]), strict=True))
        for asked, wanted in zip(names[1:], keys[1:], strict=True):
            blocks |= zip(asked, self._read(asked, wanted), strict=True)
        asked = ("item_scenario", "item_scenario_activity")
        blocks |= zip(asked, self._read(asked, pairs), strict=True)
        facets, item_facet = collect_facets(blocks["item"])
        (blocks["facet_activity"],) = self._read(("facet_activity",), facets)
        return assemble_rows(
            self._schema,
            blocks,
            time_s=request.request_time.seconds + request.request_time.nanos / 1e9,
            encoder=self._encoder,
            item_key=keys64(items),
            item_facet=item_facet,
            pair_request=np.zeros(len(items), np.int64),
            pair_item=np.arange(len(items)),
            context=encode_context(self._schema.config, request.context.attributes, {})[None],
        )

    def _read(self, names: ViewNames, keys: Sequence[Key]) -> list[Block]:
        views = [self._schema[name] for name in names]
        wanted = [f"{view.name}:{feature.name}" for view in views for feature in view.features]
        entities = [dict(zip(views[0].entities, key, strict=True)) for key in keys]
        found = self._store.get_online_features(features=wanted, entity_rows=entities, full_feature_names=True)
        columns = found.to_dict()
        return [_block(view, columns, len(keys)) for view in views]


def _block(view: View, columns: Mapping[str, Sequence[Any]], rows: int) -> Block:
    named = {feature: columns[f"{view.name}__{feature.name}"] for feature in view.features}
    packed: list[Row | None] = [
        {feature.name: _value(feature, column[row]) for feature, column in named.items()} for row in range(rows)
    ]
    return pack_rows(view, packed)


def _value(feature: Feature, value: Any) -> np.ndarray:
    if value is None or (feature.length == VARIABLE and not len(value)):
        return default_value(feature)
    return np.array(value, DTYPES[feature.dtype])
