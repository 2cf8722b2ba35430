"""Fenced writes and deletions of rows: Redis scripts that refuse a position from before the stored one, atomically.

The scripts repeat `services.features.positions.is_fenced` in Lua; one table of cases tests both. A consumer that lost
its partition and comes back cannot overwrite its successor's rows. Knows Redis' protocol; knows nothing of features.
"""

from collections.abc import Sequence
from hashlib import sha1
from typing import Any

from redis import Redis

from services.store.protocol import FencedWrite
from services.store.redis.exchange import encode_arguments
from services.store.redis.pipeline import Client, execute_pipeline


class Script:
    """A Redis script about one key, called by its digest and loaded into nodes that lack it.

    Args:
        source: Lua code; must be idempotent.
    """

    def __init__(self, source: str) -> None:
        self.source = source
        self._digest = sha1(source.encode(), usedforsecurity=False).hexdigest().encode()

    def encode_head(self, arguments: int) -> bytes:
        """What precedes the key in a call with this many arguments."""
        return b"*%d\r\n" % (4 + arguments) + encode_arguments(b"EVALSHA", self._digest, b"1")

    def encode(self, key: bytes, arguments: Sequence[bytes]) -> bytes:
        """A call about `key`."""
        return self.encode_head(len(arguments)) + encode_arguments(key, *arguments)

    def call(self, client: Client, keys: Sequence[bytes], commands: Sequence[bytes]) -> list[Any]:
        """The results of encoded calls, all in one round trip."""
        return execute_pipeline(client, keys, commands, self.load)

    def load(self, node: Redis) -> None:
        """Load it into a node."""
        node.script_load(self.source)


_FENCE = """
local stored = redis.call('HGET', KEYS[1], ARGV[1])
if stored then
  local e, p, o = string.match(stored, '(-?%d+):(-?%d+):(-?%d+)')
  local ne, np, no = string.match(ARGV[2], '(-?%d+):(-?%d+):(-?%d+)')
  if tonumber(ne) < tonumber(e) or (ne == e and np == p and tonumber(no) < tonumber(o)) then return 0 end
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
"""
"""Returns 0 if the position ARGV[2] is fenced by the one in field ARGV[1]; else stores it and goes on."""

WRITE = Script(
    _FENCE
    + """
redis.call('HSET', KEYS[1], unpack(ARGV, 4))
if ARGV[3] == '0' then redis.call('PERSIST', KEYS[1]) else redis.call('PEXPIRE', KEYS[1], ARGV[3]) end
return 1
"""
)
"""ARGV[3]: milliseconds until the entity expires unless it is written again; 0: never. Then fields and values."""

DELETE = Script(
    _FENCE
    + """
redis.call('HDEL', KEYS[1], unpack(ARGV, 4))
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 1
"""
)
"""ARGV[3]: milliseconds until what is left of the entity expires unless it is written again. Then fields."""


def execute_writes(client: Client, view: str, keys: Sequence[bytes], commands: Sequence[bytes]) -> None:
    """Write rows in one round trip. Raises FencedWrite when some were refused; the others are written."""
    raise_fenced(view, WRITE.call(client, keys, commands))


def raise_fenced(view: str, results: Sequence[object]) -> None:
    """Raise FencedWrite if any of the scripts returned 0."""
    if refused := results.count(0):
        raise FencedWrite(f"{refused} of {len(results)} rows of view {view} hold newer positions")
