"""Commands to a cluster whose nodes are real sockets with scripted answers; its table of slots is a dictionary."""

import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
import redis
from redis.cluster import ClusterNode

from services.store.redis.cluster import execute_on_cluster
from services.store.redis.exchange import encode_command

KEYS = [b"a", b"b"]
GETS = [encode_command(b"GET", key) for key in KEYS]
ASKING = encode_command(b"ASKING")


class Node:
    """Answers each connection's requests, one after the other; None closes the connection instead."""

    def __init__(self, *answers: bytes | None) -> None:
        self._answers = list(answers)
        self.received: list[bytes] = []
        self.asked = threading.Event()
        self.before_answer: Callable[[], object] = lambda: None
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.client = redis.Redis(port=self.port, driver_info=None, socket_timeout=60)
        self.name = ClusterNode("127.0.0.1", self.port)  # type: ignore[no-untyped-call]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while self._answers:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection:
                while self._answers and (data := connection.recv(4096)):
                    self.received.append(data)
                    self.asked.set()
                    self.before_answer()
                    answer = self._answers.pop(0)
                    if answer is None:
                        break
                    connection.sendall(answer)

    def close(self) -> None:
        self.client.close()
        self._listener.close()


class Cluster:
    """The owner of each key, and who owns it after a refresh."""

    def __init__(self, owners: dict[bytes, Node], later: dict[bytes, Node] | None = None) -> None:
        self._owners, self._later = owners, later
        self._nodes = {node.port: node for node in (*owners.values(), *(later or {}).values())}
        self.refreshes: list[set[str]] = []
        self.nodes_manager = SimpleNamespace(connection_kwargs={"socket_timeout": 60})

    def add(self, node: Node) -> None:
        self._nodes[node.port] = node

    def owner(self, key: bytes) -> ClusterNode:
        return self._owners[key].name

    def get_redis_connection(self, node: ClusterNode) -> redis.Redis:
        return self._nodes[node.port].client

    def node_at(self, address: tuple[str, int]) -> ClusterNode:
        return self._nodes[address[1]].name

    def refresh(self, since_s: float, failed: set[str]) -> None:
        del since_s
        self.refreshes.append(failed)
        self._owners = self._later or self._owners


@contextmanager
def nodes(*scripts: Sequence[bytes | None]) -> Iterator[list[Node]]:
    made = [Node(*script) for script in scripts]
    try:
        yield made
    finally:
        for node in made:
            node.close()


def execute(cluster: Cluster, load: Callable[[redis.Redis], object] | None = None) -> list[Any]:
    return execute_on_cluster(cluster, KEYS, GETS, load)  # type: ignore[arg-type]


def test_all_nodes_are_asked_before_the_first_answer_is_awaited() -> None:
    """The first node answers once the second one was asked."""
    with nodes([b"+one\r\n"], [b"+two\r\n"]) as (first, second):
        first.before_answer = lambda: second.asked.wait(60)
        assert [b"one", b"two"] == execute(Cluster({b"a": first, b"b": second}))


def test_a_moved_slot_is_asked_for_at_its_new_owner() -> None:
    """Only the moved command is sent again."""
    with nodes([], [b"+two\r\n", b"+one\r\n"]) as (_, second), nodes([b"-MOVED 1 127.0.0.1:1\r\n"]) as (first,):
        cluster = Cluster({b"a": first, b"b": second}, {b"a": second, b"b": second})
        assert [b"one", b"two"] == execute(cluster)
        assert [set()] == cluster.refreshes
        assert [GETS[1], GETS[0]] == second.received


def test_ask_is_followed_for_one_command_and_the_table_stays() -> None:
    """ASKING precedes it; the owner is asked again the next time."""
    with nodes([b"+OK\r\n+moving\r\n"]) as (target,):
        answers = f"-ASK 1 127.0.0.1:{target.port}\r\n+two\r\n".encode()
        with nodes([answers]) as (source,):
            cluster = Cluster({b"a": source, b"b": source})
            cluster.add(target)
            assert [b"moving", b"two"] == execute(cluster)
            assert [] == cluster.refreshes
            assert [ASKING + GETS[0]] == target.received


@pytest.mark.parametrize("answer", [None, b"-READONLY a replica\r\n", b"-CLUSTERDOWN Hash slot not served\r\n"])
def test_a_lost_node_has_the_others_asked_for_the_table(answer: bytes | None) -> None:
    """Its commands go to the new owner, if there is one; those of others were answered."""
    with nodes([answer], [b"+two\r\n", b"+one\r\n"]) as (first, second):
        cluster = Cluster({b"a": first, b"b": second}, {b"a": second, b"b": second})
        assert [b"one", b"two"] == execute(cluster)
        assert [{first.name.name}] == cluster.refreshes


def test_a_lost_node_without_a_successor_is_an_error() -> None:
    """It is not asked again at once; the others' responses are there."""
    with nodes([None], [b"+two\r\n"]) as (first, second):
        error, answer = execute(Cluster({b"a": first, b"b": second}))
        assert isinstance(error, redis.ConnectionError)
        assert b"two" == answer


def test_scripts_are_loaded_into_the_node_that_lacks_them() -> None:
    """And the commands that need them are sent again, there alone."""
    with nodes([b"-NOSCRIPT no script\r\n", b"+one\r\n"], [b"+two\r\n"]) as (first, second):
        loaded: list[redis.Redis] = []
        assert [b"one", b"two"] == execute(Cluster({b"a": first, b"b": second}), loaded.append)
        assert [first.client] == loaded
