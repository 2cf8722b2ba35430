"""Labelled requests as arrays, and the stored feature rows that they need.

Knows the row store and the views; knows nothing of data sets or files.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from services.features.encode_moments import MomentRows, shift_times
from services.features.feature_rows import FeatureRows, assemble_rows
from services.features.hashing import keys64
from services.features.rows import Block, Floats, Ints
from services.features.schema import Schema, View
from services.store.folding import collect_facets, group_keys
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


class Snapshots(Protocol):
    """Rows as they were at several times, each named by a stamp."""

    def read(self, view: View, keys: Sequence[Key], stamp: Ints) -> Block:
        """The rows of these keys [R] as of the stamps [R]; a row that did not exist holds defaults."""
        ...


class CurrentRows:
    """The rows of a store, whatever the stamp."""

    def __init__(self, store: RowStore) -> None:
        self._store = store

    def read(self, view: View, keys: Sequence[Key], stamp: Ints) -> Block:
        """See `Snapshots`."""
        del stamp
        return read_block(self._store, view, keys)


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
    stamp = np.zeros(len(requests.time_s), np.int64)
    return read_moments(CurrentRows(store), schema, encoder, sources, requests, stamp).rows


def read_moments(
    snapshots: Snapshots, schema: Schema, encoder: int, sources: Sequence[str], requests: LabelledRequests, stamp: Ints
) -> MomentRows:
    """Read the stored rows that requests of several moments need, each as of its moment.

    Raises InexactShift if their times cannot be moved to one time without rounding.

    Args:
        snapshots: where the rows are.
        schema: the feature schema.
        encoder: fingerprint of the trusted text encoder.
        sources: source scenarios, in the order of the tensors.
        requests: in order of time.
        stamp: [N] stamp at which the rows of each request are read, one per time.
    """
    moments, first, moment = np.unique(stamp, return_index=True, return_inverse=True)
    time_s, now_s = requests.time_s[first], float(requests.time_s[-1])
    at = moment.tolist()
    # A user's requests of one time share a context unless their attributes differ.
    given = (values.tobytes() for values in requests.context)
    users, pair_request = group_keys(list(zip(requests.user, at, given, strict=True)))
    items, pair_item = group_keys(list(zip(requests.item, at, strict=True)))
    user_moment, item_moment = (np.array([key[1] for key in keys], np.int64) for keys in (users, items))

    def read(view: str, keys: list[Key], at_moment: Ints) -> Block:
        block = snapshots.read(schema[view], keys, moments[at_moment])
        return block if len(moments) == 1 else shift_times(block, time_s[at_moment], now_s)

    count = len(sources)
    user_keys: list[Key] = [(user,) for user, *_ in users]
    item_keys: list[Key] = [(item,) for item, *_ in items]
    scenarios: list[Key] = [(source,) for _ in moments for source in sources]
    per_moment = np.repeat(np.arange(len(moments)), count)
    user_pairs: list[Key] = [(*user, source) for user in user_keys for source in sources]
    item_pairs: list[Key] = [(*item, source) for item in item_keys for source in sources]
    keys_of: dict[str, tuple[list[Key], Ints]] = {
        "scenario": (scenarios, per_moment),
        "scenario_activity": (scenarios, per_moment),
        "user": (user_keys, user_moment),
        "user_scenario": (user_pairs, np.repeat(user_moment, count)),
        "item": (item_keys, item_moment),
        "item_activity": (item_keys, item_moment),
        "item_scenario": (item_pairs, np.repeat(item_moment, count)),
        "item_scenario_activity": (item_pairs, np.repeat(item_moment, count)),
    }
    blocks = {name: read(name, *keys) for name, keys in keys_of.items()}
    facets, facet_moment, item_facet = _facets(blocks["item"], item_moment)
    blocks["facet_activity"] = read("facet_activity", facets, facet_moment)
    _, of_user = np.unique(pair_request, return_index=True)
    return MomentRows(
        assemble_rows(
            schema,
            blocks,
            time_s=now_s,
            encoder=encoder,
            item_key=keys64(item for (item,) in item_keys),
            item_facet=item_facet,
            pair_request=pair_request,
            pair_item=pair_item,
            context=requests.context[of_user],
        ),
        time_s=time_s,
        request_moment=user_moment,
        sources=count,
    )


def _facets(items: Block, item_moment: Ints) -> tuple[list[Key], Ints, Ints]:
    """Keys and moments of the facets of items, each moment for itself; the index of each facet of an item, [I, F]."""
    keys, number = collect_facets(items)
    moments = int(item_moment.max()) + 1
    codes, index = np.unique(number * moments + item_moment[:, None], return_inverse=True)
    return [keys[place] for place in (codes // moments).tolist()], codes % moments, index.reshape(number.shape)
