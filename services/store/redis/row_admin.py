"""Deletion, removal, expiry and scan of rows in Redis. Knows keys and fields; knows nothing of Feast and schemas.

All take a `redis.Redis` or `RedisCluster` as client, which redis-py has no common type for.
"""

import re
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from services.store.protocol import Key
from services.store.redis.fence import DELETE_SCRIPT, raise_fenced
from services.store.redis.layout import RedisLayout, encode_position

SCAN_BATCH = 1000
"""Keys that one step of a scan looks at."""

_EXPIRE = """
if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 0 then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2], 'LT')
"""
"""Lets a row expire in ARGV[2] milliseconds unless it expires earlier; ARGV[1] is the field of its time, which a
deleted row does not have: what is left of one has an expiry of its own."""


def delete_rows(
    client: Any,
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
    script = client.register_script(DELETE_SCRIPT)
    arguments = [layout.position_field, encode_position(position), fence_ms, layout.time_field, *fields]
    with client.pipeline(transaction=False) as pipe:
        for key in layout.encode_keys(keys):
            script(keys=[key], args=arguments, client=pipe)
        raise_fenced(layout.view.name, pipe.execute())


def drop_rows(client: Any, layout: RedisLayout, fields: Sequence[bytes]) -> int:
    """Remove these fields, the time and the fence of all rows of the view; returns how many rows had any."""
    dropped = 0
    for batch in _scan_in_batches(client, layout):
        with client.pipeline(transaction=False) as pipe:
            for key in batch:
                pipe.hdel(key, *fields, layout.time_field, layout.position_field)
            dropped += sum(removed > 0 for removed in pipe.execute())
    return dropped


def expire_rows(client: Any, layout: RedisLayout, expiry_ms: int) -> int:
    """Let all rows of the view expire in `expiry_ms` unless they expire earlier; returns how many. Needs Redis 7."""
    script, expired = client.register_script(_EXPIRE), 0
    for batch in _scan_in_batches(client, layout):
        with client.pipeline(transaction=False) as pipe:
            for key in batch:
                script(keys=[key], args=[layout.time_field, expiry_ms], client=pipe)
            expired += sum(pipe.execute())
    return expired


def scan_keys(client: Any, layout: RedisLayout) -> Iterator[tuple[bytes, Key]]:
    """Redis key and entity ids of all entities of which the view may have rows."""
    pattern = _escape(layout.key_prefix) + b"*" + _escape(layout.key_suffix)
    for key in client.scan_iter(match=pattern, count=SCAN_BATCH):
        ids = layout.decode_key(key)
        if ids is not None:
            yield key, ids


def _scan_in_batches(client: Any, layout: RedisLayout) -> Iterator[list[bytes]]:
    keys = (key for key, _ in scan_keys(client, layout))
    while batch := list(islice(keys, SCAN_BATCH)):
        yield batch


def _escape(text: bytes) -> bytes:
    """The text as a literal part of a Redis pattern."""
    return re.sub(rb"([*?^\[\]\\])", rb"\\\1", text)
