"""The RowStore and StoreAdmin on Redis: whole blocks in the layout of Feast's online store.

Rows bypass Feast, which makes a message per value, and whose import takes seconds. Every Feast client reads what is
written here by the views that `crossrec setup` registers, and rows read here may come from any of them.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice, repeat
from typing import Any

import numpy as np

from services.features.feature import SCALAR, Feature
from services.features.rows import (
    DTYPES,
    Block,
    Row,
    default_value,
    pack_rows,
    scatter_rows,
)
from services.features.schema import Schema, View
from services.settings.infrastructure import StoreSettings
from services.store.protocol import Key, ReadRequest, StaleSchema
from services.store.redis import row_admin
from services.store.redis.change_feed import RedisChangeFeed
from services.store.redis.cluster import StoreCluster
from services.store.redis.connection import StoreConnection
from services.store.redis.errors import connected
from services.store.redis.exchange import encode_arguments
from services.store.redis.feast_value import Value
from services.store.redis.fence import WRITE, execute_writes
from services.store.redis.layout import DAY_MS, RedisLayout, encode_positions, encode_times, expiry_ms
from services.store.redis.pipeline import execute_pipeline, wait_for_replicas
from services.store.redis.rights import check_rights
from services.store.redis.wire import encode_block
from services.store.redis.wire_decode import Cells, NotCanonical, StoredRows, decode_blocks, decode_column
from services.store.schema_lineage import SchemaCompatibility, read_lineage


class FeastRowStore:
    """An OnlineStore whose rows are those of Feast.

    Args:
        store: address and access, Feast project, retention of users.
        schema: the feature schema.
        deleted_days: days for which the position of a deleted row is kept: longer than the topic keeps what could bring
            it back.
        newer: whether rows of newer schemas may be read; only for processes that never write.
    """

    def __init__(self, store: StoreSettings, schema: Schema, *, deleted_days: int = 31, newer: bool = False) -> None:
        self._settings = store
        self._connection = StoreConnection(store)
        self._client = self._connection.client
        self._fence_ms = deleted_days * DAY_MS
        self._fingerprint = schema.fingerprint
        self._schemas = SchemaCompatibility(schema, lambda: read_lineage(self), newer=newer)
        self._commands: dict[int, tuple[View, RowCommands]] = {}

    def read_blocks(self, requests: Sequence[ReadRequest]) -> list[Block]:
        """See `RowStore`."""
        redis_keys: list[bytes] = []
        commands: list[bytes] = []
        for view, keys in requests:
            view_keys, view_commands = self._commands_of(view).encode_reads(keys)
            redis_keys += view_keys
            commands += view_commands
        with connected(self._client) as client:
            responses = iter(execute_pipeline(client, redis_keys, commands) if commands else ())
        return self._decode([(view, list(islice(responses, len(keys)))) for view, keys in requests])

    def write(self, keys: Sequence[Key], block: Block) -> None:
        """See `RowStore`; one round trip."""
        if not keys:
            return
        redis_keys, commands = self._commands_of(block.view).encode_writes(keys, block)
        with connected(self._client) as client:
            execute_writes(client, block.view.name, redis_keys, commands)

    def delete(self, view: View, keys: Sequence[Key], position: Sequence[int]) -> None:
        """See `RowStore`; one round trip, and one for the schemas of the store."""
        if not keys:
            return
        layout, fields = self._layout_and_fields(view)
        with connected(self._client) as client:
            row_admin.delete_rows(client, layout, keys, fields, position, self._fence_ms)

    def drop(self, view: View) -> int:
        """See `StoreAdmin`."""
        layout, fields = self._layout_and_fields(view)
        with connected(self._client) as client:
            return row_admin.drop_rows(client, layout, fields)

    def expire(self, view: View) -> int:
        """See `StoreAdmin`."""
        expiry_ms = self._expiry_ms(view)
        if not expiry_ms:
            return 0
        with connected(self._client) as client:
            return row_admin.expire_rows(client, self._layout(view), expiry_ms)

    def ids(self, view: View) -> Iterator[Key]:
        """See `StoreAdmin`."""
        with connected(self._client) as client:
            for _, ids in row_admin.scan_keys(client, self._layout(view)):
                yield ids

    def changes(self, views: Sequence[View]) -> RedisChangeFeed:
        """See `StoreAdmin`."""
        return RedisChangeFeed(self._client, [self._layout(view) for view in views])

    def check_rights(self) -> None:
        """Try every command that writers and readers need, on every node. Raises StoreDenied, StoreUnavailable."""
        with connected(self._client) as client:
            check_rights(client, self._settings.project)

    def node_changes(self) -> int:
        """See `StoreNodes`."""
        return self._connection.node_changes()

    def number_per_node(self, view: View, key_of: Callable[[int], Key]) -> list[int]:
        """See `StoreNodes`."""
        with connected(self._client) as client:
            if not isinstance(client, StoreCluster):
                return []
            layout = self._layout(view)
            return sorted(client.spread(lambda number: layout.encode_keys([key_of(number)])[0]).values())

    def wait_for_replicas(self, view: View, keys: Sequence[Key]) -> None:
        """See `StoreNodes`."""
        store = self._settings
        if store.wait_replicas:
            with connected(self._client) as client:
                wait_for_replicas(client, self._layout(view).encode_keys(keys), store.wait_replicas, store.wait_ms)

    def _layout(self, view: View) -> RedisLayout:
        return RedisLayout(view, self._settings.project)

    def _layout_and_fields(self, view: View) -> tuple[RedisLayout, list[bytes]]:
        """The layout of a view, and the fields of all features that it has or had under other schemas."""
        layout = self._layout(view)
        names = {*(feature.name for feature in view.features), *self._schemas.former_features(view)}
        return layout, layout.fields_of(sorted(names))

    def _expiry_ms(self, view: View) -> int:
        return expiry_ms(view.entities, self._settings.user_retention_days)

    def _decode(self, answers: Sequence[tuple[View, Sequence[Sequence[bytes | None]]]]) -> list[Block]:
        """The rows of each request."""
        # The last of a row's values is its time; without it there is no row, whatever else is left of it.
        exists = [[bool(response[-1]) for response in responses] for _, responses in answers]
        stored = [
            _stored_rows(view, [response for response, is_there in zip(responses, there, strict=True) if is_there])
            for (view, responses), there in zip(answers, exists, strict=True)
        ]
        blocks = self._decode_rows(stored)
        return [
            block if block.size == len(there) else scatter_rows(block, np.array(there))
            for block, there in zip(blocks, exists, strict=True)
        ]

    def _decode_rows(self, stored: Sequence[StoredRows]) -> list[Block]:
        try:
            blocks = decode_blocks(stored, _reserialize)
        except NotCanonical:
            blocks = []
        if blocks and all((block.ints("schema") == self._fingerprint).all() for block in blocks):
            return blocks
        return [self._decode_any_schema(rows) for rows in stored]

    def _decode_any_schema(self, stored: StoredRows) -> Block:
        """Rows some of which may have been written under another schema. Raises StaleSchema."""
        view = stored.view
        try:
            (block,) = decode_blocks([stored], _reserialize)
            written = block.ints("schema")
        except NotCanonical as error:
            reason: NotCanonical | None = error
            written = decode_column(view["schema"], stored.columns["schema"], _reserialize)  # type: ignore[assignment]
        else:
            reason = None
        if (written != self._fingerprint).any():
            return pack_rows(view, self._adapt_rows(stored))
        if reason:
            raise StaleSchema(
                f"rows of view {view.name} do not match this program's feature schema: {reason}"
            ) from reason
        return block

    def _commands_of(self, view: View) -> "RowCommands":
        """The commands about a view, or about some of its features; cached by the view's identity, a quick key."""
        known = self._commands.get(id(view))
        if known is None:
            known = self._commands[id(view)] = view, RowCommands(self._layout(view), self._expiry_ms(view))
        return known[1]

    def _adapt_rows(self, stored: StoredRows) -> list[Row]:
        """Rows some of which were written under another schema, decoded value by value."""
        view, columns = stored.view, stored.columns
        return [
            self._schemas.adapt_row(
                view, {f.name: _decode_value(f, Value.FromString(columns[f.name][place] or b"")) for f in view.features}
            )
            for place in range(stored.count)
        ]


class RowCommands:
    """Redis commands about one view's rows, encoded.

    Args:
        layout: keys and fields of the view.
        expiry_ms: milliseconds until a row expires after a write; 0: never.
    """

    def __init__(self, layout: RedisLayout, expiry_ms: int = 0) -> None:
        self._layout, fields = layout, list(layout.fields.values())
        self._read_head = b"*%d\r\n" % (len(fields) + 3) + encode_arguments(b"HMGET")
        self._read_tail = encode_arguments(*fields, layout.time_field)
        # The expiry stands between the position and the field of the time.
        expiry_and_time = encode_arguments(b"%d" % expiry_ms, layout.time_field)
        heads = [encode_arguments(layout.position_field), expiry_and_time, *map(encode_arguments, fields)]
        self._write_heads = [WRITE.encode_head(2 * len(heads) + 1), *heads]

    def encode_reads(self, keys: Sequence[Key]) -> tuple[list[bytes], list[bytes]]:
        """Redis keys, and for each a command that returns the values of the features and then the time."""
        redis_keys, head, tail = self._layout.encode_keys(keys), self._read_head, self._read_tail
        return redis_keys, [b"%b$%d\r\n%b\r\n%b" % (head, len(key), key, tail) for key in redis_keys]

    def encode_writes(self, keys: Sequence[Key], block: Block) -> tuple[list[bytes], list[bytes]]:
        """Redis keys, and commands that write the rows."""
        redis_keys = self._layout.encode_keys(keys)
        columns = (redis_keys, encode_positions(block), encode_times(block), *encode_block(block).values())
        return redis_keys, [self._encode_write(values) for values in zip(*columns, strict=True)]

    def _encode_write(self, values: Sequence[bytes]) -> bytes:
        parts: list[bytes] = []
        for head, value in zip(self._write_heads, values, strict=True):
            parts += (head, b"$%d\r\n" % len(value), value, b"\r\n")
        return b"".join(parts)


def _stored_rows(view: View, rows: Sequence[Sequence[bytes | None]]) -> StoredRows:
    """Responses with a value per feature, and the time, as columns."""
    cells: Iterable[Cells] = zip(*rows, strict=True) if rows else repeat(())
    return StoredRows(view, {f.name: column for f, column in zip(view.features, cells, strict=False)}, len(rows))


def _decode_value(feature: Feature, value: Any) -> np.ndarray:
    """One Value message as an array of any length; the feature's default if it is not set."""
    kind = value.WhichOneof("val")
    if kind is None:
        return default_value(feature)
    content = getattr(value, kind)
    return np.array(content if feature.length == SCALAR else content.val[:], DTYPES[feature.dtype])


def _reserialize(cell: bytes) -> bytes:
    """A serialised Value as protobuf's own encoder writes it."""
    serialized: bytes = Value.FromString(cell).SerializeToString()
    return serialized
