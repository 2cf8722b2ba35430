"""Pipelines to a server that does not respond, with a real socket."""

import socket
import threading
from collections.abc import Iterator

import pytest
import redis

from services.store.read_deadline import read_deadline, read_time_left_s
from services.store.redis.exchange import encode_arguments
from services.store.redis.pipeline import execute_pipeline

GET = b"*2\r\n" + encode_arguments(b"GET", b"k")


@pytest.fixture
def server() -> Iterator[socket.socket]:
    """Accepts connections and sends no responses."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener


@pytest.fixture
def client(server: socket.socket) -> Iterator[redis.Redis]:
    """A client without a time-out, that sends no commands when it connects."""
    client = redis.Redis(port=server.getsockname()[1], socket_timeout=None, driver_info=None)
    yield client
    client.close()


def test_a_read_ends_at_its_deadline(client: redis.Redis) -> None:
    """Although the connection has no time-out."""
    with read_deadline(0.01), pytest.raises(redis.TimeoutError, match="no response before the deadline"):
        execute_pipeline(client, [b"k"], [GET])


def test_a_late_response_is_not_read_as_that_of_the_next_command(server: socket.socket, client: redis.Redis) -> None:
    """The connection is closed after a time-out."""
    with read_deadline(0.01), pytest.raises(redis.TimeoutError):
        execute_pipeline(client, [b"k"], [GET])

    def answer() -> None:
        late, _ = server.accept()
        late.sendall(b"$4\r\nlate\r\n")
        second, _ = server.accept()
        second.recv(100)
        second.sendall(b"$6\r\nsecond\r\n")
        for connection in (late, second):
            connection.close()

    answering = threading.Thread(target=answer)
    answering.start()
    with read_deadline(30):
        assert [b"second"] == execute_pipeline(client, [b"k"], [GET])
    answering.join()


def test_an_inner_deadline_does_not_extend_the_outer_one() -> None:
    """After the outer one there is no deadline."""
    with read_deadline(0), read_deadline(1000):
        assert 0 == read_time_left_s()
    assert read_time_left_s() is None
