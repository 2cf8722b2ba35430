"""Waiting for a server that does not answer, with a real socket."""

import socket
import threading
from collections.abc import Iterator

import pytest
import redis

from services.store.read_deadline import patience, patience_left_s
from services.store.redis.pipeline import exchange, packed

GET = b"*2\r\n" + packed(b"GET", b"k")


@pytest.fixture
def server() -> Iterator[socket.socket]:
    """Takes connections and says nothing by itself."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening


@pytest.fixture
def client(server: socket.socket) -> Iterator[redis.Redis]:
    """Waits for ever, and says nothing before its first command."""
    client = redis.Redis(port=server.getsockname()[1], socket_timeout=None, driver_info=None)
    yield client
    client.close()


def test_who_is_not_patient_is_not_kept_waiting(client: redis.Redis) -> None:
    """The connection itself would wait for ever."""
    with patience(0.01), pytest.raises(redis.TimeoutError, match="no answer within the time"):
        exchange(client, [b"k"], [GET])


def test_a_late_answer_is_not_taken_for_that_of_the_next_command(server: socket.socket, client: redis.Redis) -> None:
    """The connection is given up."""
    with patience(0.01), pytest.raises(redis.TimeoutError):
        exchange(client, [b"k"], [GET])

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
    with patience(30):
        assert [b"second"] == exchange(client, [b"k"], [GET])
    answering.join()


def test_an_inner_patience_does_not_prolong_the_outer_one() -> None:
    """And at the end there is none."""
    with patience(0), patience(1000):
        assert 0 == patience_left_s()
    assert patience_left_s() is None
