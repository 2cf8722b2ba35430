"""Feast's Redis online store with fenced writes; named in feature_store.yaml.

Rows carry the position of the newest record folded in. A write is refused, atomically in the store, when the
stored position is of the same partition and newer, or of a newer topic epoch: a consumer that lost its
partition and came back cannot undo its successor's work. Layout and reads are Feast's own, so that every
Feast client reads the same rows.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from hashlib import sha1
from itertools import islice
from typing import Any, Literal

import redis
from google.protobuf.timestamp_pb2 import Timestamp
from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from services.settings.infrastructure import StoreSettings
from services.settings.load import load_settings
from services.store.feast_api import (
    EntityKey,
    FeatureView,
    RedisOnlineStore,
    RedisOnlineStoreConfig,
    RepoConfig,
    Value,
    field_hash,
    redis_key,
    redis_key_prefix,
)
from services.store.protocol import FencedWrite
from services.store.redis.connection import redis_options
from services.store.redis.layout import POSITION_FIELD
from services.store.redis.pipeline import Client, exchange, packed

USER = "user_id"
"""The join key of what expires with its user. The mark of an erasure has another one, and stays."""

TYPE: Literal["services.store.redis.online_store.FencedRedisOnlineStore"] = (
    "services.store.redis.online_store.FencedRedisOnlineStore"
)

_UNLESS_OLDER = """
local stored = redis.call('HGET', KEYS[1], ARGV[1])
if stored then
  local e, p, o = string.match(stored, '(-?%d+):(-?%d+):(-?%d+)')
  local ne, np, no = string.match(ARGV[2], '(-?%d+):(-?%d+):(-?%d+)')
  if tonumber(ne) < tonumber(e) or (ne == e and np == p and tonumber(no) < tonumber(o)) then return 0 end
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
"""
"""The fence: ends the script unless ARGV[2] is not older than the position in field ARGV[1]; then stores it."""

_WRITE = (
    _UNLESS_OLDER
    + """
redis.call('HSET', KEYS[1], unpack(ARGV, 4))
if ARGV[3] == '0' then redis.call('PERSIST', KEYS[1]) else redis.call('PEXPIRE', KEYS[1], ARGV[3]) end
return 1
"""
)
"""ARGV[3]: milliseconds for which the entity is kept unless it is written again; 0: for good."""

_DELETE = (
    _UNLESS_OLDER
    + """
redis.call('HDEL', KEYS[1], unpack(ARGV, 4))
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 1
"""
)

_EXPIRE = """
if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 0 then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2], 'LT')
"""
"""Has a row expire in ARGV[2] milliseconds unless it does so earlier; ARGV[1] is the field of its time. What is left of
a deleted row has a time of its own to go."""

DAY_MS = 24 * 3600 * 1000

SCANNED_KEYS = 1000
"""Keys that are looked at in one step when all rows of a view are dropped."""

_ONCE_MORE = Retry(NoBackoff(), 1, supported_errors=(redis.ConnectionError,))
"""A connection that broke while nobody used it is made anew, and that is all: redis-py's own retries wait through
seconds and time-outs in which a request could be answered without the store, and a consumer hears no stop."""

_SHA = sha1(_WRITE.encode(), usedforsecurity=False).hexdigest().encode()

Record = tuple[EntityKey, dict[str, Value], datetime, datetime | None]


class FencedRedisOnlineStoreConfig(RedisOnlineStoreConfig):
    """Feast's Redis settings under this store's type."""

    type: Literal["services.store.redis.online_store.FencedRedisOnlineStore"] = TYPE  # type: ignore[assignment]
    user_retention_days: int = 0
    """Days after which entities with a user expire unless they are written again; 0: never."""
    deleted_days: int = 31
    """Days for which the position of a deleted row is kept: longer than the topic keeps what could bring it back."""
    access: StoreSettings | None = None
    """Password and certificates; None: those of the settings in force, as for the `feast` command."""

    def expiry_ms(self, entities: Sequence[str]) -> int:
        """Milliseconds for which what is stored under these join keys is kept after a write; 0: for good."""
        return self.user_retention_days * DAY_MS if USER in entities else 0


class FencedRedisOnlineStore(RedisOnlineStore):
    """Redis or Valkey, written under a fence."""

    def _get_client(self, online_store_config: RedisOnlineStoreConfig) -> Any:
        is_new = self._client is None
        if is_new:
            self._access = redis_options(_access(online_store_config))
        client = super()._get_client(online_store_config)
        if is_new and isinstance(client, Redis):
            client.set_retry(_ONCE_MORE)
        return client

    async def _get_client_async(self, online_store_config: RedisOnlineStoreConfig) -> Any:
        if not self._client_async:
            self._access = redis_options(_access(online_store_config))
        return await super()._get_client_async(online_store_config)

    def _parse_connection_string(  # type: ignore[override]
        self, connection_string: str
    ) -> tuple[list[dict[str, str]], dict[str, Any]]:
        """Nodes and arguments of redis-py; Feast makes its clients of them."""
        nodes, arguments = super()._parse_connection_string(connection_string)
        return nodes, {**arguments, **self._access}

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
        expiry_ms = config.online_store.expiry_ms(table.join_keys)
        rows = [_arguments(table.name, names, values, timestamp, expiry_ms) for _, values, timestamp, _ in data]
        commands = [fenced_write(key, row) for key, row in zip(keys, rows, strict=True)]
        write_fenced(self.client(config), table.name, keys, commands)
        if progress:
            progress(len(data))

    def client(self, config: RepoConfig) -> Client:
        """The connections to Redis, made when they are first used."""
        client: Client = self._get_client(config.online_store)
        return client

    def delete_rows(
        self,
        config: RepoConfig,
        table: FeatureView,
        entity_keys: Sequence[EntityKey],
        position: Sequence[int],
        former: Sequence[str] = (),
    ) -> None:
        """Remove this view's fields of the entities but the fence, which is left at `position`.

        Fields of `former` features, which the view had under other schemas, are removed too.
        What is left of the entities is dropped after the setting's `deleted_days`, unless it is written again. Raises
        FencedWrite when some rows hold newer positions; the others are removed.
        """
        client = self._get_client(config.online_store)
        script = client.register_script(_DELETE)
        fields = _fields(table, former)
        kept_ms = config.online_store.deleted_days * DAY_MS
        fence = [POSITION_FIELD.format(view=table.name), ":".join(map(str, position)), kept_ms]
        with client.pipeline(transaction=False) as pipe:
            for entity_key in entity_keys:
                key = redis_key(config.project, entity_key, config.entity_key_serialization_version)
                script(keys=[key], args=[*fence, f"_ts:{table.name}", *fields], client=pipe)
            deleted = pipe.execute()
        if refused := deleted.count(0):
            raise FencedWrite(f"{refused} of {len(entity_keys)} rows of view {table.name} hold newer positions")

    def drop_rows(self, config: RepoConfig, table: FeatureView, former: Sequence[str] = ()) -> int:
        """Remove this view's fields, the fence included, of all entities of the project; returns how many had them.

        Fields of `former` features are removed too.
        """
        client = self._get_client(config.online_store)
        fields = _fields(table, former)
        markers = [f"_ts:{table.name}", POSITION_FIELD.format(view=table.name)]
        keys = (key for key, _ in self._entities(config, table))
        dropped = 0
        while some := list(islice(keys, SCANNED_KEYS)):
            with client.pipeline(transaction=False) as pipe:
                for key in some:
                    pipe.hdel(key, *fields, *markers)
                dropped += sum(removed > 0 for removed in pipe.execute())
        return dropped

    def expire_rows(self, config: RepoConfig, table: FeatureView) -> int:
        """Have rows that were written under no or a longer retention expire after the present one; returns how many.

        They count from now. Needs Redis 7.
        """
        expiry_ms = config.online_store.expiry_ms(table.join_keys)
        if not expiry_ms:
            return 0
        client = self._get_client(config.online_store)
        script, expired = client.register_script(_EXPIRE), 0
        keys = (key for key, _ in self._entities(config, table))
        while some := list(islice(keys, SCANNED_KEYS)):
            with client.pipeline(transaction=False) as pipe:
                for key in some:
                    script(keys=[key], args=[f"_ts:{table.name}", expiry_ms], client=pipe)
                expired += sum(pipe.execute())
        return expired

    def entity_ids(self, config: RepoConfig, table: FeatureView) -> Iterator[tuple[str, ...]]:
        """Ids of all entities of which the view may have rows, by looking at all keys of the project."""
        return (ids for _, ids in self._entities(config, table))

    def _entities(self, config: RepoConfig, table: FeatureView) -> Iterator[tuple[bytes, tuple[str, ...]]]:
        prefix, project = redis_key_prefix(table.join_keys), config.project.encode()
        client = self._get_client(config.online_store)
        for key in client.scan_iter(match=_escaped(prefix) + b"*" + _escaped(project), count=SCANNED_KEYS):
            ids, rest = _ids_and_rest(key, prefix, len(table.join_keys))
            if rest == project:
                yield key, tuple(part.decode() for part in ids)


def _access(config: RedisOnlineStoreConfig) -> StoreSettings:
    return getattr(config, "access", None) or load_settings().store


def _fields(table: FeatureView, former: Sequence[str]) -> list[bytes]:
    """Hash fields of the view's features and of those that it had once."""
    names = {*(feature.name for feature in table.features), *former}
    return [field_hash(f"{table.name}:{name}") for name in sorted(names)]


def _escaped(text: bytes) -> bytes:
    """As Redis' patterns have it literally."""
    return re.sub(rb"([*?^\[\]\\])", rb"\\\1", text)


def _ids_and_rest(key: bytes, prefix: bytes, values: int) -> tuple[list[bytes], bytes]:
    """The ids in an entity key and what follows them; nothing of either if it is of other join keys."""
    if not key.startswith(prefix):
        return [], b""
    at, ids = len(prefix), []
    for _ in range(values):
        end = at + 8 + int.from_bytes(key[at + 4 : at + 8], "little")
        ids.append(key[at + 8 : end])
        at = end
    return ids, key[at:]


def fenced_write(key: bytes, arguments: Sequence[bytes]) -> bytes:
    """The command that writes a row; arguments: position field, position, expiry, then each field and its value."""
    return write_head(len(arguments)) + packed(key, *arguments)


def write_head(arguments: int) -> bytes:
    """What stands before the key in a command that writes a row with so many arguments."""
    return b"*%d\r\n" % (4 + arguments) + packed(b"EVALSHA", _SHA, b"1")


def write_fenced(client: Client, view: str, keys: Sequence[bytes], commands: Sequence[bytes]) -> None:
    """Write rows in one round trip. Raises FencedWrite when some were refused; the others are written."""
    written = exchange(client, keys, commands, lambda node: node.script_load(_WRITE))
    if refused := written.count(0):
        raise FencedWrite(f"{refused} of {len(keys)} rows of view {view} hold newer positions")


def _arguments(
    view: str, names: dict[str, bytes], values: dict[str, Value], timestamp: datetime, expiry_ms: int
) -> list[bytes]:
    stamp = Timestamp()
    stamp.FromDatetime(timestamp)
    position = ":".join(str(part) for part in values["position"].int64_list_val.val)
    head = (POSITION_FIELD.format(view=view), position, str(expiry_ms), f"_ts:{view}")
    arguments = [*map(str.encode, head), stamp.SerializeToString()]
    for name, value in values.items():
        arguments += [names[name], value.SerializeToString()]
    return arguments
