"""One exchange with one node: many commands are sent as encoded bytes, then their responses are read.

That is without redis-py's work per command; redis-py makes and repairs connections, with time-outs, passwords and TLS.
"""

from collections.abc import Sequence
from typing import Any

from redis import Redis, exceptions
from redis.exceptions import ResponseError

from services.store.read_deadline import read_time_left_s

_SEND_BYTES = 1 << 20


def encode_arguments(*arguments: bytes) -> bytes:
    """A command, or the end of one, in Redis' protocol, without the number of arguments that precedes it."""
    return b"".join([part for argument in arguments for part in (b"$%d\r\n" % len(argument), argument, b"\r\n")])


def encode_command(*arguments: bytes) -> bytes:
    """A whole command in Redis' protocol."""
    return b"*%d\r\n" % len(arguments) + encode_arguments(*arguments)


def send(node: Redis, commands: Sequence[bytes]) -> Any:
    """Send encoded commands; returns the connection on which `receive` must read as many responses."""
    connection: Any = node.connection_pool.get_connection()
    try:
        connection.send_packed_command(_join_commands(commands))
    except BaseException:
        abandon(node, connection)
        raise
    return connection


def receive(node: Redis, connection: Any, count: int) -> list[Any]:
    """The responses to the commands that were sent; errors of single commands are among them, as values."""
    try:
        _wait_for_response(connection)
        return [_read_response(connection) for _ in range(count)]
    except BaseException:
        # Unread responses would be taken for those of the next commands.
        connection.disconnect()
        raise
    finally:
        node.connection_pool.release(connection)


def abandon(node: Redis, connection: Any) -> None:
    """Give up a connection whose responses will not be read."""
    connection.disconnect()
    node.connection_pool.release(connection)


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
