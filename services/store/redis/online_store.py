"""Feast's extension point: its Redis online store with fenced writes, named in feature_store.yaml.

Rows carry the position of the newest record folded in. A write is refused, atomically in the store, when the stored
position is newer (`services.store.redis.fence`). Layout and reads are Feast's own, so that every Feast client reads
the same rows.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Literal, Self

from google.protobuf.timestamp_pb2 import Timestamp
from pydantic import model_validator

from services.settings.address import split_address
from services.settings.infrastructure import StoreSettings
from services.settings.load import load_settings
from services.settings.store_url import split_nodes
from services.store.feast_api import (
    EntityKey,
    FeatureView,
    RedisOnlineStore,
    RedisOnlineStoreConfig,
    RedisType,
    RepoConfig,
    Value,
    field_hash,
    redis_key,
)
from services.store.redis.connection import open_client, redis_options
from services.store.redis.fence import WRITE, execute_writes
from services.store.redis.layout import POSITION_FIELD, TIME_FIELD, expiry_ms

TYPE: Literal["services.store.redis.online_store.FencedRedisOnlineStore"] = (
    "services.store.redis.online_store.FencedRedisOnlineStore"
)

Record = tuple[EntityKey, dict[str, Value], datetime, datetime | None]


class FencedRedisOnlineStoreConfig(RedisOnlineStoreConfig):
    """Feast's Redis settings for this store."""

    type: Literal["services.store.redis.online_store.FencedRedisOnlineStore"] = TYPE  # type: ignore[assignment]
    user_retention_days: int = 0
    """Days after which entities with a user expire unless they are written again; 0: never."""
    access: StoreSettings | None = None
    """Password and certificates; None: those of the settings in force, as for the `feast` command."""

    @model_validator(mode="after")
    def _several_nodes_are_a_cluster(self) -> Self:
        if len(split_nodes(self.connection_string)) > 1 and self.redis_type is RedisType.redis:
            self.redis_type = RedisType.redis_cluster
        return self

    def expiry_ms(self, entities: Sequence[str]) -> int:
        """Milliseconds after its last write until an entity with these join keys expires; 0: never."""
        return expiry_ms(entities, self.user_retention_days)


class FencedRedisOnlineStore(RedisOnlineStore):
    """Redis or Valkey with fenced writes."""

    def _get_client(self, online_store_config: RedisOnlineStoreConfig) -> Any:
        if self._client is not None:
            return self._client
        self._access = redis_options(_access(online_store_config))
        kind = online_store_config.redis_type
        if kind not in {RedisType.redis, RedisType.redis_cluster}:
            return super()._get_client(online_store_config)
        nodes, arguments = self._parse_connection_string(online_store_config.connection_string)
        addresses = [(node["host"], int(node["port"])) for node in nodes]
        self._client = open_client(addresses, cluster=kind is RedisType.redis_cluster, **arguments)
        return self._client

    async def _get_client_async(self, online_store_config: RedisOnlineStoreConfig) -> Any:
        if not self._client_async:
            self._access = redis_options(_access(online_store_config))
        return await super()._get_client_async(online_store_config)

    def _parse_connection_string(  # type: ignore[override]
        self, connection_string: str
    ) -> tuple[list[dict[str, str]], dict[str, Any]]:
        """Nodes and arguments of redis-py, from which Feast makes its clients."""
        _, arguments = super()._parse_connection_string(connection_string)
        addresses = map(split_address, split_nodes(connection_string))
        nodes = [{"host": host, "port": str(port)} for host, port in addresses]
        return nodes, {**arguments, **self._access}

    def online_write_batch(
        self,
        config: RepoConfig,
        table: FeatureView,
        data: Sequence[Record],
        progress: Callable[[int], Any] | None,
    ) -> None:
        """Write rows in one round trip. Raises FencedWrite when some were refused; the others are written.

        Rows without a `position` (written by other Feast clients) are written by Feast's own store.
        """
        if not data or "position" not in data[0][1]:
            super().online_write_batch(config, table, list(data), progress)
            return
        names = {feature.name: field_hash(f"{table.name}:{feature.name}") for feature in table.features}
        version = config.entity_key_serialization_version
        keys = [redis_key(config.project, entity_key, version) for entity_key, _, _, _ in data]
        expiry_ms = config.online_store.expiry_ms(table.join_keys)
        rows = [_write_arguments(table.name, names, values, timestamp, expiry_ms) for _, values, timestamp, _ in data]
        commands = [WRITE.encode(key, row) for key, row in zip(keys, rows, strict=True)]
        execute_writes(self._get_client(config.online_store), table.name, keys, commands)
        if progress:
            progress(len(data))


def _access(config: RedisOnlineStoreConfig) -> StoreSettings:
    return getattr(config, "access", None) or load_settings().store


def _write_arguments(
    view: str, names: dict[str, bytes], values: dict[str, Value], timestamp: datetime, expiry_ms: int
) -> list[bytes]:
    stamp = Timestamp()
    stamp.FromDatetime(timestamp)
    position = ":".join(str(part) for part in values["position"].int64_list_val.val)
    head = (POSITION_FIELD.format(view=view), position, str(expiry_ms), TIME_FIELD.format(view=view))
    arguments = [*map(str.encode, head), stamp.SerializeToString()]
    for name, value in values.items():
        arguments += [names[name], value.SerializeToString()]
    return arguments
