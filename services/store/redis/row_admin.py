"""Deletion, removal, expiry and scan of rows in Redis. Knows keys and fields; knows nothing of Feast and schemas."""

import re
import time
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from redis import Redis

from services.store.protocol import Key, StoreUnavailable
from services.store.redis.cluster import StoreCluster
from services.store.redis.exchange import encode_command
from services.store.redis.fence import DELETE, Script, raise_fenced
from services.store.redis.layout import RedisLayout, encode_position
from services.store.redis.pipeline import Client, execute_pipeline, primary_nodes

SCAN_BATCH = 1000
"""Keys that one step of a scan looks at."""

SCANS = 20
"""Most scans of a cluster whose slots move meanwhile."""

EXPIRE = Script(
    """
if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 0 then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2], 'LT')
"""
)
"""Lets a row expire in ARGV[2] milliseconds unless it expires earlier; ARGV[1] is the field of its time, which a
deleted row does not have: what is left of one has an expiry of its own."""


def delete_rows(
    client: Client,
    layout: RedisLayout,
    keys: Sequence[Key],
    fields: Sequence[bytes],
    position: Sequence[int],
    fence_ms: int,
) -> None:
    """Remove these fields and the time of rows, and leave the fence at `position`.

    What is left of an entity expires after `fence_ms` unless it is written again. Raises FencedWrite when some rows
    hold newer positions; the others are removed.
    """
    head = (layout.position_field, encode_position(position), b"%d" % fence_ms, layout.time_field)
    redis_keys = layout.encode_keys(keys)
    raise_fenced(
        layout.view.name, DELETE.call(client, redis_keys, [DELETE.encode(key, (*head, *fields)) for key in redis_keys])
    )


def drop_rows(client: Client, layout: RedisLayout, fields: Sequence[bytes]) -> int:
    """Remove these fields, the time and the fence of all rows of the view; returns how many rows had any."""
    fields = (*fields, layout.time_field, layout.position_field)
    dropped = 0
    for batch in _scan_in_batches(client, layout):
        removed = execute_pipeline(client, batch, [encode_command(b"HDEL", key, *fields) for key in batch])
        dropped += sum(count > 0 for count in removed)
    return dropped


def expire_rows(client: Client, layout: RedisLayout, expiry_ms: int) -> int:
    """Let all rows of the view expire in `expiry_ms` unless they expire earlier; returns how many. Needs Redis 7."""
    arguments, expired = (layout.time_field, b"%d" % expiry_ms), 0
    for batch in _scan_in_batches(client, layout):
        expired += sum(EXPIRE.call(client, batch, [EXPIRE.encode(key, arguments) for key in batch]))
    return expired


def scan_keys(client: Client, layout: RedisLayout) -> Iterator[tuple[bytes, Key]]:
    """Redis key and entity ids of all entities of which the view may have rows, some of them several times.

    Raises StoreUnavailable if a cluster moves slots again and again meanwhile.
    """
    pattern = _escape(layout.key_prefix) + b"*" + _escape(layout.key_suffix)
    for key in _scan(client, pattern):
        ids = layout.decode_key(key)
        if ids is not None:
            yield key, ids


def _scan(client: Client, pattern: bytes) -> Iterator[bytes]:
    if not isinstance(client, StoreCluster):
        yield from _scan_node(client, pattern)
        return
    client.refresh(time.monotonic())
    for _ in range(SCANS):
        owners = client.owners()
        for node in primary_nodes(client).values():
            yield from _scan_node(node, pattern)
        # A key whose slot moved to a node that had been scanned before was not found: once more.
        client.refresh(time.monotonic())
        if client.owners() == owners:
            return
    raise StoreUnavailable(f"online store: the cluster moved slots during each of {SCANS} scans")


def _scan_node(node: Redis, pattern: bytes) -> Iterator[bytes]:
    keys: Any = node.scan_iter(match=pattern, count=SCAN_BATCH)
    yield from keys


def _scan_in_batches(client: Client, layout: RedisLayout) -> Iterator[list[bytes]]:
    keys = (key for key, _ in scan_keys(client, layout))
    while batch := list(islice(keys, SCAN_BATCH)):
        yield batch


def _escape(text: bytes) -> bytes:
    """The text as a literal part of a Redis pattern."""
    return re.sub(rb"([*?^\[\]\\])", rb"\\\1", text)
