"""Many Redis commands in one round trip, on one server or on all nodes of a cluster at once.

Commands may be sent again after a redirection or a lost connection. So they must be idempotent.
"""

from collections.abc import Sequence
from typing import Any

from redis import Redis
from redis.exceptions import NoScriptError, RedisError

from services.store.protocol import StoreUnavailable
from services.store.redis.cluster import LoadScripts, StoreCluster, execute_on_cluster
from services.store.redis.exchange import encode_command, receive, send

Client = Redis | StoreCluster


def execute_pipeline(
    client: Client, keys: Sequence[bytes], commands: Sequence[bytes], load_scripts: LoadScripts | None = None
) -> list[Any]:
    """The responses to encoded `commands`; the key at the same index decides which node of a cluster gets a command.

    Raises redis-py's errors; of responses that are errors the first one, after all were received.
    """
    if isinstance(client, StoreCluster):
        return _without_errors(execute_on_cluster(client, keys, commands, load_scripts))
    try:
        return _execute_on_server(client, commands)
    except NoScriptError:
        if load_scripts is None:
            raise
        load_scripts(client)
    return _execute_on_server(client, commands)


def wait_for_replicas(client: Client, keys: Sequence[bytes], replicas: int, wait_ms: int) -> None:
    """Wait until this many replicas of each node that has one of the keys have what was written before.

    Redis counts what was written on the connection: use it from the thread that wrote, and repeat the writes if a
    connection was made again in between. Raises StoreUnavailable if too few have it after `wait_ms` milliseconds.
    """
    wait = encode_command(b"WAIT", b"%d" % replicas, b"%d" % wait_ms)
    reached = min(execute_pipeline(client, keys, [wait] * len(keys)))
    if reached < replicas:
        raise StoreUnavailable(f"online store: {reached} of {replicas} replicas have the rows after {wait_ms} ms")


def primary_nodes(client: Client) -> dict[str, Redis]:
    """A client of each node that holds keys, by the name of the node."""
    if not isinstance(client, StoreCluster):
        return {"": client}
    return {node.name: client.get_redis_connection(node) for node in client.get_primaries()}  # type: ignore[no-untyped-call]


def _execute_on_server(node: Redis, commands: Sequence[bytes]) -> list[Any]:
    return _without_errors(receive(node, send(node, commands), len(commands)))


def _without_errors(responses: list[Any]) -> list[Any]:
    for response in responses:
        if isinstance(response, RedisError):
            raise response
    return responses
