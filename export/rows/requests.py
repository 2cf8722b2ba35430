"""Labelled requests as arrays, and the stored feature rows that they need.

Knows the row store and the views; knows nothing of data sets or files.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.features.feature_rows import FeatureRows, assemble_rows
from services.features.hashing import keys64
from services.features.rows import Floats, Ints
from services.features.schema import Schema
from services.store.folding import group_keys, read_facets
from services.store.protocol import Key, RowStore, read_block

Strings = NDArray[np.object_]


@dataclass(frozen=True)
class LabelledRequests:
    """Labelled rows as columns, in time order: the items that a ranker was, or would have been, asked to rank.

    `context` [E, A] are declared attributes of the request; `sampling` says how a negative was drawn, "" for the other
    rows, and None if no row was drawn.
    """

    request_id: Strings
    user: Strings
    scenario: Strings
    item: Strings
    label: Ints
    split: Strings
    time_s: Floats
    context: Floats
    sampling: Strings | None = None

    def part(self, rows: slice) -> "LabelledRequests":
        """Some of the rows."""
        columns: dict[str, Any] = {name: getattr(self, name) for name in self.__dataclass_fields__}
        for name, column in columns.items():
            columns[name] = None if column is None else column[rows]
        return LabelledRequests(**columns)


def read_feature_rows(
    store: RowStore, schema: Schema, encoder: int, sources: Sequence[str], requests: LabelledRequests
) -> FeatureRows:
    """Read the stored rows that requests of one time need, as the encoder takes them.

    Args:
        store: where the rows are.
        schema: the feature schema.
        encoder: fingerprint of the trusted text encoder.
        sources: source scenarios, in the order of the tensors.
        requests: all of one time.
    """
    # A user's requests of one time share a context unless their attributes differ.
    contexts, pair_request = group_keys(
        [(user, values.tobytes()) for user, values in zip(requests.user, requests.context, strict=True)]
    )
    users: list[Key] = [(user,) for user, _ in contexts]
    items, pair_item = group_keys([(item,) for item in requests.item])
    scenarios: list[Key] = [(scenario,) for scenario in sources]
    user_pairs = [(*user, *scenario) for user in users for scenario in scenarios]
    item_pairs = [(*item, *scenario) for item in items for scenario in scenarios]
    keys = {
        "scenario": scenarios,
        "scenario_activity": scenarios,
        "user": users,
        "user_scenario": user_pairs,
        "item": items,
        "item_activity": items,
        "item_scenario": item_pairs,
        "item_scenario_activity": item_pairs,
    }
    blocks = {name: read_block(store, schema[name], list(view_keys)) for name, view_keys in keys.items()}
    blocks["facet_activity"], item_facet = read_facets(store, schema, blocks["item"])
    _, first = np.unique(pair_request, return_index=True)
    return assemble_rows(
        schema,
        blocks,
        time_s=float(requests.time_s[0]),
        encoder=encoder,
        item_key=keys64(item for (item,) in items),
        item_facet=item_facet,
        pair_request=pair_request,
        pair_item=pair_item,
        context=requests.context[first],
    )
