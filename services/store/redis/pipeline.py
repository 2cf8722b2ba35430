"""Many Redis commands in one round trip, without redis-py's work per command: they are sent as encoded bytes.

redis-py makes and repairs connections, with time-outs, passwords and TLS. On a cluster every node gets its share, and
after slots have moved all commands are sent again. So commands must be idempotent.
"""

from collections.abc import Callable, Sequence
from typing import Any

from redis import Redis, exceptions
from redis.cluster import RedisCluster
from redis.exceptions import AskError, NoScriptError, RedisError, ResponseError

from services.store.read_deadline import read_time_left_s

Client = Redis | RedisCluster
LoadScripts = Callable[[Redis], object]
"""Loads the scripts that the commands call into a node."""

_SEND_BYTES = 1 << 20


def encode_arguments(*arguments: bytes) -> bytes:
    """A command, or the end of one, in Redis' protocol, without the number of arguments that precedes it."""
    return b"".join([part for argument in arguments for part in (b"$%d\r\n" % len(argument), argument, b"\r\n")])


def execute_pipeline(
    client: Client, keys: Sequence[bytes], commands: Sequence[bytes], load_scripts: LoadScripts | None = None
) -> list[Any]:
    """The responses to encoded `commands`; the key at the same index decides which node of a cluster gets a command.

    Raises redis-py's errors; of responses that are errors the first one, after all were received.
    """
    try:
        return _execute(client, keys, commands)
    except NoScriptError:
        if load_scripts is None:
            raise
        for node in primary_nodes(client):
            load_scripts(node)
    except AskError:  # and MovedError, which is one
        if not isinstance(client, RedisCluster):
            raise
        client.nodes_manager.initialize()
    return _execute(client, keys, commands)


def primary_nodes(client: Client) -> list[Redis]:
    """A client of each node that holds keys."""
    if not isinstance(client, RedisCluster):
        return [client]
    return [client.get_redis_connection(node) for node in client.get_primaries()]  # type: ignore[no-untyped-call]


def _execute(client: Client, keys: Sequence[bytes], commands: Sequence[bytes]) -> list[Any]:
    if not isinstance(client, RedisCluster):
        return _execute_on_node(client, commands)
    shares: dict[str, list[int]] = {}
    for place, key in enumerate(keys):
        owner = client.get_node_from_key(key)  # type: ignore[no-untyped-call]
        shares.setdefault(owner.name, []).append(place)
    responses: list[Any] = [None] * len(commands)
    for name, places in shares.items():
        node = client.get_redis_connection(client.get_node(node_name=name))  # type: ignore[no-untyped-call]
        for place, response in zip(places, _execute_on_node(node, [commands[i] for i in places]), strict=True):
            responses[place] = response
    return responses


def _execute_on_node(node: Redis, commands: Sequence[bytes]) -> list[Any]:
    connection: Any = node.connection_pool.get_connection()
    try:
        connection.send_packed_command(_join_commands(commands))
        _wait_for_response(connection)
        responses = [_read_response(connection) for _ in commands]
    except BaseException:
        # Unread responses would be taken for those of the next commands.
        connection.disconnect()
        raise
    finally:
        node.connection_pool.release(connection)
    for response in responses:
        if isinstance(response, RedisError):
            raise response
    return responses


def _wait_for_response(connection: Any) -> None:
    """Wait for the first response until the read deadline; the connection's time-out bounds the others."""
    left_s, timeout_s = read_time_left_s(), connection.socket_timeout
    if left_s is None or (timeout_s is not None and timeout_s <= left_s):
        return
    if not connection.can_read(timeout=left_s):
        raise exceptions.TimeoutError("no response before the deadline of the read")


def _read_response(connection: Any) -> Any:
    try:
        return connection.read_response(disable_decoding=True)
    except ResponseError as error:
        return error


def _join_commands(commands: Sequence[bytes]) -> list[bytes]:
    """The commands in pieces of about a megabyte."""
    pieces: list[bytes] = []
    piece: list[bytes] = []
    size = 0
    for command in commands:
        piece.append(command)
        size += len(command)
        if size >= _SEND_BYTES:
            pieces.append(b"".join(piece))
            piece, size = [], 0
    return [*pieces, b"".join(piece)]
