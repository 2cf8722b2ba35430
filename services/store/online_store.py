"""Feast's Redis online store with fenced writes; named in feature_store.yaml.

Rows carry the position of the newest record folded in. A write is refused, atomically in the store, when the
stored position is of the same partition and newer, or of a newer topic epoch: a consumer that lost its
partition and came back cannot undo its successor's work. Layout and reads are Feast's own, so that every
Feast client reads the same rows.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from hashlib import sha1
from typing import Any, Literal

from google.protobuf.timestamp_pb2 import Timestamp

from services.store.exchange import Client, exchange, packed
from services.store.feast_api import (
    EntityKey,
    FeatureView,
    RedisOnlineStore,
    RedisOnlineStoreConfig,
    RepoConfig,
    Value,
    field_hash,
    redis_key,
)
from services.store.layout import POSITION_FIELD
from services.store.protocol import FencedWrite

TYPE: Literal["services.store.online_store.FencedRedisOnlineStore"] = (
    "services.store.online_store.FencedRedisOnlineStore"
)

_WRITE_IF_NOT_OLDER = """
local stored = redis.call('HGET', KEYS[1], ARGV[1])
if stored then
  local e, p, o = string.match(stored, '(-?%d+):(-?%d+):(-?%d+)')
  local ne, np, no = string.match(ARGV[2], '(-?%d+):(-?%d+):(-?%d+)')
  if tonumber(ne) < tonumber(e) or (ne == e and np == p and tonumber(no) < tonumber(o)) then return 0 end
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2], unpack(ARGV, 3))
return 1
"""

_SHA = sha1(_WRITE_IF_NOT_OLDER.encode(), usedforsecurity=False).hexdigest().encode()

Record = tuple[EntityKey, dict[str, Value], datetime, datetime | None]


class FencedRedisOnlineStoreConfig(RedisOnlineStoreConfig):
    """Feast's Redis settings under this store's type."""

    type: Literal["services.store.online_store.FencedRedisOnlineStore"] = TYPE  # type: ignore[assignment]


class FencedRedisOnlineStore(RedisOnlineStore):
    """Redis or Valkey, written under a fence."""

    def online_write_batch(
        self,
        config: RepoConfig,
        table: FeatureView,
        data: Sequence[Record],
        progress: Callable[[int], Any] | None,
    ) -> None:
        """Write rows in one round trip. Raises FencedWrite when some were refused; the others are written.

        Rows without a `position` (written by other Feast clients) go the way of Feast's own store.
        """
        if not data or "position" not in data[0][1]:
            super().online_write_batch(config, table, list(data), progress)
            return
        names = {feature.name: field_hash(f"{table.name}:{feature.name}") for feature in table.features}
        version = config.entity_key_serialization_version
        keys = [redis_key(config.project, entity_key, version) for entity_key, _, _, _ in data]
        rows = [_arguments(table.name, names, values, timestamp) for _, values, timestamp, _ in data]
        commands = [fenced_write(key, row) for key, row in zip(keys, rows, strict=True)]
        write_fenced(self.client(config), table.name, keys, commands)
        if progress:
            progress(len(data))

    def client(self, config: RepoConfig) -> Client:
        """The connections to Redis, made when they are first used."""
        client: Client = self._get_client(config.online_store)
        return client

    def delete_rows(self, config: RepoConfig, table: FeatureView, entity_keys: Sequence[EntityKey]) -> None:
        """Remove this view's fields of the entities, the fence included; rows of other views stay."""
        client = self._get_client(config.online_store)
        fields = [field_hash(f"{table.name}:{feature.name}") for feature in table.features]
        fields += [f"_ts:{table.name}", POSITION_FIELD.format(view=table.name)]
        with client.pipeline(transaction=False) as pipe:
            for entity_key in entity_keys:
                pipe.hdel(redis_key(config.project, entity_key, config.entity_key_serialization_version), *fields)
            pipe.execute()


def fenced_write(key: bytes, arguments: Sequence[bytes]) -> bytes:
    """The command that writes a row; arguments: position field, position, then each field and its value."""
    return write_head(len(arguments)) + packed(key, *arguments)


def write_head(arguments: int) -> bytes:
    """What stands before the key in a command that writes a row with so many arguments."""
    return b"*%d\r\n" % (4 + arguments) + packed(b"EVALSHA", _SHA, b"1")


def write_fenced(client: Client, view: str, keys: Sequence[bytes], commands: Sequence[bytes]) -> None:
    """Write rows in one round trip. Raises FencedWrite when some were refused; the others are written."""
    written = exchange(client, keys, commands, lambda node: node.script_load(_WRITE_IF_NOT_OLDER))
    if refused := written.count(0):
        raise FencedWrite(f"{refused} of {len(keys)} rows of view {view} hold newer positions")


def _arguments(view: str, names: dict[str, bytes], values: dict[str, Value], timestamp: datetime) -> list[bytes]:
    stamp = Timestamp()
    stamp.FromDatetime(timestamp)
    position = ":".join(str(part) for part in values["position"].int64_list_val.val)
    head = (POSITION_FIELD.format(view=view), position, f"_ts:{view}")
    arguments = [*map(str.encode, head), stamp.SerializeToString()]
    for name, value in values.items():
        arguments += [names[name], value.SerializeToString()]
    return arguments
