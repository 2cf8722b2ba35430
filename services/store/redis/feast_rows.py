"""Rows in a Feast online store on Redis, read and written in Feast's own layout, whole blocks at a time.

Feast's registry says what there is; rows go past its API, which makes a message per value: every Feast client reads
what is written here, and what is read here may come from any. Importing this costs seconds: only processes that serve
or consume do.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import TypeVar

import numpy as np
import redis

from services.features.rows import Block, Row, default_block, pack_rows, scatter_rows, unpack_rows
from services.features.schema import SCALAR, Schema, View
from services.store.feast_api import EntityKey, FeatureStore, Value
from services.store.lineage import KnownSchemas, read_lineage
from services.store.protocol import Key, StaleSchema, StoreUnavailable
from services.store.redis.changes import Changes
from services.store.redis.layout import Layout, positions, stamps
from services.store.redis.online_store import TYPE, FencedRedisOnlineStore, write_fenced, write_head
from services.store.redis.pipeline import Client, exchange, packed
from services.store.redis.values import to_array
from services.store.redis.wire import Cells, NotCanonical, decode_block, decode_column, encode_block

_UNREACHABLE = (
    redis.ConnectionError,
    redis.TimeoutError,
    redis.exceptions.ReadOnlyError,
    redis.exceptions.OutOfMemoryError,
    redis.exceptions.ClusterDownError,
    redis.exceptions.TryAgainError,
    # Slots that move once more while the commands are repeated.
    redis.exceptions.AskError,
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
        self._fingerprint = schema.fingerprint
        self._schemas = KnownSchemas(schema, lambda: read_lineage(self), newer=newer)
        self._provider = feast._get_provider()
        self._tables = {view.name: feast.get_feature_view(view.name) for view in schema.views}
        self._commands: dict[int, tuple[View, Commands]] = {}

    def read(self, view: View, keys: Sequence[Key]) -> list[Row | None]:
        """The rows in the order of the keys, one round trip. Raises StoreUnavailable, StaleSchema."""
        ((block, exists),) = self._read([(view, keys)])
        return [row if there else None for row, there in zip(_rows(block), exists, strict=True)]

    def read_block(self, view: View, keys: Sequence[Key]) -> Block:
        """The rows side by side, missing ones with defaults, one round trip. Raises as `read` does."""
        return self.read_blocks([(view, keys)])[0]

    def read_blocks(self, asked: Sequence[tuple[View, Sequence[Key]]]) -> list[Block]:
        """The rows of each view's keys likewise, all in one round trip."""
        return [block for block, _ in self._read(asked)]

    def write(self, keys: Sequence[Key], block: Block) -> None:
        """Replace rows in one round trip, fenced by position. Raises StoreUnavailable, FencedWrite."""
        if not keys:
            return
        redis_keys, commands = self._commands_of(block.view).writes(keys, block)
        _reached(lambda: write_fenced(self._client(), block.view.name, redis_keys, commands))

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

    def expire(self, view: View) -> int:
        """Have rows of before the retention in force expire, too; returns how many. Raises StoreUnavailable."""
        expire = self._online_store().expire_rows
        return _reached(lambda: expire(self._feast.config, self._tables[view.name]))

    def ids(self, view: View) -> Iterator[Key]:
        """Keys of which the view may have rows, by looking at all that the store has. Raises StoreUnavailable."""
        found = self._online_store().entity_ids(self._feast.config, self._tables[view.name])
        while (key := _reached(lambda: next(found, None))) is not None:
            yield key

    def changes(self, views: Sequence[View]) -> Changes:
        """Tells which rows of the views' entities were written; give one view per kind of entity."""
        return Changes(self._client, views, self._feast.config.project)

    def _online_store(self) -> FencedRedisOnlineStore:
        online_store = self._provider.online_store
        if not isinstance(online_store, FencedRedisOnlineStore):
            raise TypeError(f"feature_store.yaml must name {TYPE} as the online store")
        return online_store

    def _client(self) -> Client:
        return self._online_store().client(self._feast.config)

    def _read(self, asked: Sequence[tuple[View, Sequence[Key]]]) -> list[tuple[Block, list[bool]]]:
        """The rows of each view's keys, and which of them exist."""
        redis_keys: list[bytes] = []
        commands: list[bytes] = []
        for view, keys in asked:
            own_keys, own_commands = self._commands_of(view).reads(keys)
            redis_keys += own_keys
            commands += own_commands
        answers = _reached(lambda: exchange(self._client(), redis_keys, commands)) if commands else []
        rows, found = iter(answers), []
        for view, keys in asked:
            found.append(self._decoded(view, list(islice(rows, len(keys)))))
        return found

    def _decoded(self, view: View, answers: Sequence[Sequence[bytes | None]]) -> tuple[Block, list[bool]]:
        """The rows that the answers hold, and which of them exist."""
        # The last of a row's values is its time; without it there is no row, whatever else is left of it.
        exists = [bool(answer[-1]) for answer in answers]
        there = [answer for answer, is_there in zip(answers, exists, strict=True) if is_there]
        if not there:
            return default_block(view, len(answers)), exists
        cells = zip(*there, strict=True)
        block = self._block(view, {f.name: column for f, column in zip(view.features, cells, strict=False)}, len(there))
        return block if len(there) == len(answers) else scatter_rows(block, np.array(exists)), exists

    def _block(self, view: View, columns: Mapping[str, Cells], rows: int) -> Block:
        try:
            block = decode_block(view, columns, rows, _canonical)
            written = block.ints("schema")
        except NotCanonical as error:
            reason: NotCanonical | None = error
            written = decode_column(view["schema"], columns["schema"], _canonical)  # type: ignore[assignment]
        else:
            reason = None
        if (written != self._fingerprint).any():
            return pack_rows(view, self._adapted(view, columns, rows))
        if reason:
            raise StaleSchema(
                f"rows of view {view.name} are not as this code's feature schema says: {reason}"
            ) from reason
        return block

    def _commands_of(self, view: View) -> "Commands":
        """The commands about a view, or about some of its features: views are told apart as objects, which is quick."""
        known = self._commands.get(id(view))
        if known is None:
            expiry_ms = self._feast.config.online_store.expiry_ms(view.entities)
            known = self._commands[id(view)] = view, Commands(view, self._feast.config.project, expiry_ms)
        return known[1]

    def _adapted(self, view: View, columns: Mapping[str, Cells], rows: int) -> list[Row]:
        """Rows some of which were written under another schema, value by value."""
        return [
            self._schemas.adapt_row(
                view, {f.name: to_array(f, Value.FromString(columns[f.name][place] or b"")) for f in view.features}
            )
            for place in range(rows)
        ]


class Commands:
    """Redis commands about one view's rows, packed.

    Args:
        view: the view.
        project: the Feast project.
        expiry_ms: milliseconds for which rows are kept after a write; 0: for good.
    """

    def __init__(self, view: View, project: str, expiry_ms: int = 0) -> None:
        self._layout = layout = Layout(view, project)
        fields = [layout.fields[feature.name] for feature in view.features]
        self._read_head = b"*%d\r\n" % (len(fields) + 3) + packed(b"HMGET")
        self._read_tail = packed(*fields, layout.time_field)
        # The expiry stands between the position and the field of the time.
        heads = [packed(layout.position_field), packed(b"%d" % expiry_ms, layout.time_field), *map(packed, fields)]
        self._write_heads = [write_head(2 * len(heads) + 1), *heads]

    def reads(self, keys: Sequence[Key]) -> tuple[list[bytes], list[bytes]]:
        """Keys in Redis, and commands that answer each with the values of the features and then the time."""
        redis_keys, head, tail = self._layout.keys(keys), self._read_head, self._read_tail
        return redis_keys, [b"%b$%d\r\n%b\r\n%b" % (head, len(key), key, tail) for key in redis_keys]

    def writes(self, keys: Sequence[Key], block: Block) -> tuple[list[bytes], list[bytes]]:
        """Keys in Redis, and commands that write the rows."""
        redis_keys = self._layout.keys(keys)
        columns = (redis_keys, positions(block), stamps(block), *encode_block(block).values())
        return redis_keys, [self._write(values) for values in zip(*columns, strict=True)]

    def _write(self, values: Sequence[bytes]) -> bytes:
        parts: list[bytes] = []
        for head, value in zip(self._write_heads, values, strict=True):
            parts += (head, b"$%d\r\n" % len(value), value, b"\r\n")
        return b"".join(parts)


def _rows(block: Block) -> list[Row]:
    rows = unpack_rows(block)
    texts = [f.name for f in block.view.features if f.dtype == "string" and f.length == SCALAR]
    for row in rows:
        row.update((name, np.array(row[name].item(), object)) for name in texts)
    return rows


def _canonical(cell: bytes) -> bytes:
    return Value.FromString(cell).SerializeToString()


def _reached(call: Callable[[], T]) -> T:
    try:
        return call()
    except _UNREACHABLE as error:
        # From a pipeline it quotes the command, and with it the id of a user.
        reason = _QUOTED_COMMAND.sub("", str(error))
        raise StoreUnavailable(f"online store: {reason}") from error


def _entity_key(view: View, key: Key) -> EntityKey:
    return EntityKey(join_keys=list(view.entities), entity_values=[Value(string_val=part) for part in key])
