"""The commands that the store's user must be allowed to run, tried on keys of the project that nothing else uses.

A missing right would otherwise be met by the first event, request or erasure that needs the command. The rule that
grants exactly these is in the production guide.
"""

from services.store.redis.change_feed import NodeListener
from services.store.redis.cluster import StoreCluster
from services.store.redis.exchange import encode_command
from services.store.redis.fence import DELETE, WRITE
from services.store.redis.pipeline import Client, execute_pipeline, primary_nodes
from services.store.redis.row_admin import EXPIRE

_KEPT_MS = b"1000"
"""Milliseconds until a key of the check expires, should the check end early."""

_POSITION = b"0:0:0"


def check_rights(client: Client, project: str) -> None:
    """Run every needed command on every node that holds keys. Raises redis-py's errors."""

    def key(number: int) -> bytes:
        return b"rights:%d:%b" % (number, project.encode())

    numbers = client.spread(key).values() if isinstance(client, StoreCluster) else [0]
    for each in map(key, numbers):
        _check_commands(client, each)
    for node in primary_nodes(client).values():
        WRITE.load(node)
        node.scan(count=1)
        NodeListener(node, [b"rights:"]).close()


def _check_commands(client: Client, key: bytes) -> None:
    execute_pipeline(client, [key], [encode_command(b"HMGET", key, b"field")])
    # Without an expiry and with one: PERSIST and PEXPIRE.
    for expiry_ms in (b"0", _KEPT_MS):
        WRITE.call(client, [key], [WRITE.encode(key, (b"position", _POSITION, expiry_ms, b"field", b"value"))])
    EXPIRE.call(client, [key], [EXPIRE.encode(key, (b"field", _KEPT_MS))])
    execute_pipeline(client, [key], [encode_command(b"WAIT", b"0", b"1")])
    DELETE.call(client, [key], [DELETE.encode(key, (b"position", _POSITION, b"1", b"field"))])
    execute_pipeline(client, [key], [encode_command(b"HDEL", key, b"position")])
