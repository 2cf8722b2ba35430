"""Rows through Feast: `RowStore` over a feature store's provider, with views resolved once.

The only place, besides the online-store class, that knows Feast's API. Importing it costs seconds: only
processes that serve or consume do.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import TypeVar

import redis

from services.features.rows import Block, Row, unpack
from services.features.schema import Schema, View
from services.store.feast_api import EntityKey, FeatureStore, Value
from services.store.lineage import KnownSchemas, read_lineage
from services.store.online_store import TYPE, FencedRedisOnlineStore, Record
from services.store.protocol import Key, StoreUnavailable
from services.store.values import to_row, to_values

_UNREACHABLE = (
    redis.ConnectionError,
    redis.TimeoutError,
    redis.exceptions.ReadOnlyError,
    redis.exceptions.OutOfMemoryError,
    redis.exceptions.ClusterDownError,
    redis.exceptions.TryAgainError,
    # A server that was restarted within a pipeline has lost the script of its beginning.
    redis.exceptions.NoScriptError,
)

_QUOTED_COMMAND = re.compile(r"^Command # \d+ \(.*\) of pipeline caused error: ", re.DOTALL)

T = TypeVar("T")


class FeastRowStore:
    """A RowStore over a Feast feature store whose online store is FencedRedisOnlineStore.

    Args:
        feast: a feature store to which the schema's views were applied.
        schema: the feature schema.
        newer: whether rows of newer schemas may be read, as by those who never write.
    """

    def __init__(self, feast: FeatureStore, schema: Schema, *, newer: bool = False) -> None:
        self._feast = feast
        self._schemas = KnownSchemas(schema, lambda: read_lineage(self), newer=newer)
        self._provider = feast._get_provider()
        self._tables = {view.name: feast.get_feature_view(view.name) for view in schema.views}

    def read(self, view: View, keys: Sequence[Key]) -> list[Row | None]:
        """The rows in the order of the keys, one round trip. Raises StoreUnavailable, StaleSchema."""
        if not keys:
            return []
        # A fresh list of names per call: Feast's Redis store appends to it.
        names = [feature.name for feature in view.features]
        read = partial(self._provider.online_read, self._feast.config, self._tables[view.name])
        found = _reached(lambda: read([_entity_key(view, key) for key in keys], names))
        rows = [to_row(view, values) if values and _exists(stamp) else None for stamp, values in found]
        return [None if row is None else self._schemas.adapted(view, row) for row in rows]

    def write(self, keys: Sequence[Key], block: Block) -> None:
        """Replace rows in one round trip, fenced by position. Raises StoreUnavailable, FencedWrite."""
        view, rows = block.view, unpack(block)
        if not keys:
            return
        records: list[Record] = [
            (_entity_key(view, key), to_values(view, row), _row_time(row), None)
            for key, row in zip(keys, rows, strict=True)
        ]
        write = self._provider.online_write_batch
        _reached(lambda: write(self._feast.config, self._tables[view.name], records, None))

    def delete(self, view: View, keys: Sequence[Key], position: Sequence[int]) -> None:
        """Remove rows, fenced by position. Raises StoreUnavailable, FencedWrite."""
        if not keys:
            return
        delete = self._online_store().delete_rows
        entity_keys = [_entity_key(view, key) for key in keys]
        former = self._schemas.former(view)
        _reached(lambda: delete(self._feast.config, self._tables[view.name], entity_keys, position, former))

    def drop(self, view: View) -> int:
        """Remove all rows of a view, fences included; returns how many. Nobody may write meanwhile.

        Raises StoreUnavailable.
        """
        drop, former = self._online_store().drop_rows, self._schemas.former(view)
        return _reached(lambda: drop(self._feast.config, self._tables[view.name], former))

    def ids(self, view: View) -> Iterator[Key]:
        """Keys of which the view may have rows, by looking at all that the store has. Raises StoreUnavailable."""
        found = self._online_store().entity_ids(self._feast.config, self._tables[view.name])
        while (key := _reached(lambda: next(found, None))) is not None:
            yield key

    def _online_store(self) -> FencedRedisOnlineStore:
        online_store = self._provider.online_store
        if not isinstance(online_store, FencedRedisOnlineStore):
            raise TypeError(f"feature_store.yaml must name {TYPE} as the online store")
        return online_store


def _reached(call: Callable[[], T]) -> T:
    try:
        return call()
    except _UNREACHABLE as error:
        # From a pipeline it quotes the command, and with it the id of a user.
        reason = _QUOTED_COMMAND.sub("", str(error))
        raise StoreUnavailable(f"online store: {reason}") from error


def _exists(stamp: datetime | None) -> bool:
    # A row that is not there comes back from Redis with the epoch as its time.
    return stamp is not None and stamp.timestamp() > 0


def _row_time(row: Row) -> datetime:
    seconds = float(row.get("time_s", row.get("updated_s", 0.0)))
    # The epoch marks a missing row, so a row without a time of its own gets the first instant after it.
    return datetime.fromtimestamp(max(seconds, 1.0), tz=UTC)


def _entity_key(view: View, key: Key) -> EntityKey:
    return EntityKey(join_keys=list(view.entities), entity_values=[Value(string_val=part) for part in key])
