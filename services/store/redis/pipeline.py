"""Many Redis commands in one round trip, without redis-py's work per command: they are sent as packed bytes.

Connections, their repair, time-outs, passwords and TLS stay redis-py's. On a cluster every node gets its share, and
when slots have moved the whole is asked again. So commands must be such that doing them twice does no harm.
"""

from collections.abc import Callable, Sequence
from typing import Any

from redis import Redis, exceptions
from redis.cluster import RedisCluster
from redis.exceptions import AskError, NoScriptError, RedisError, ResponseError

from services.store.read_deadline import patience_left_s

Client = Redis | RedisCluster
Repair = Callable[[Redis], object]
"""Gives a node the scripts that it lacks."""

_SEND_BYTES = 1 << 20


def packed(*arguments: bytes) -> bytes:
    """A command, or the end of one, as Redis' protocol has it; without the number of arguments before it."""
    return b"".join([part for argument in arguments for part in (b"$%d\r\n" % len(argument), argument, b"\r\n")])


def exchange(
    client: Client, keys: Sequence[bytes], commands: Sequence[bytes], repair: Repair | None = None
) -> list[Any]:
    """The answers to `commands`, each about the key of its place.

    Raises what redis-py raises; of answers that are errors the first one, when all were received.
    """
    try:
        return _ask(client, keys, commands)
    except NoScriptError:
        if repair is None:
            raise
        for node in _nodes(client):
            repair(node)
    except AskError:  # and MovedError, which is one
        if not isinstance(client, RedisCluster):
            raise
        client.nodes_manager.initialize()
    return _ask(client, keys, commands)


def _nodes(client: Client) -> list[Redis]:
    if not isinstance(client, RedisCluster):
        return [client]
    return [client.get_redis_connection(node) for node in client.get_primaries()]  # type: ignore[no-untyped-call]


def _ask(client: Client, keys: Sequence[bytes], commands: Sequence[bytes]) -> list[Any]:
    if not isinstance(client, RedisCluster):
        return _ask_node(client, commands)
    shares: dict[str, list[int]] = {}
    for place, key in enumerate(keys):
        owner = client.get_node_from_key(key)  # type: ignore[no-untyped-call]
        shares.setdefault(owner.name, []).append(place)
    answers: list[Any] = [None] * len(commands)
    for name, places in shares.items():
        node = client.get_redis_connection(client.get_node(node_name=name))  # type: ignore[no-untyped-call]
        for place, answer in zip(places, _ask_node(node, [commands[place] for place in places]), strict=True):
            answers[place] = answer
    return answers


def _ask_node(node: Redis, commands: Sequence[bytes]) -> list[Any]:
    connection: Any = node.connection_pool.get_connection()
    try:
        connection.send_packed_command(_joined(commands))
        _await(connection)
        answers = [_answer(connection) for _ in commands]
    except BaseException:
        # Answers that were not read would be taken for those of the next commands.
        connection.disconnect()
        raise
    finally:
        node.connection_pool.release(connection)
    for answer in answers:
        if isinstance(answer, RedisError):
            raise answer
    return answers


def _await(connection: Any) -> None:
    """Wait for the first answers no longer than whoever asks wants to; the connection's time-out bounds the others."""
    left_s, usual_s = patience_left_s(), connection.socket_timeout
    if left_s is None or (usual_s is not None and usual_s <= left_s):
        return
    if not connection.can_read(timeout=left_s):
        raise exceptions.TimeoutError("no answer within the time that the request had for it")


def _answer(connection: Any) -> Any:
    try:
        return connection.read_response(disable_decoding=True)
    except ResponseError as error:
        return error


def _joined(commands: Sequence[bytes]) -> list[bytes]:
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
