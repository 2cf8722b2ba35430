"""Workers that are killed, replaced and stopped under load, through real channels to a real port."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import pytest

from crossrec.ranking.v1.ranking_pb2_grpc import RankingServiceStub
from services.errors import ConfigurationError
from services.ranking.process.supervisor import reserved_port
from tests.contract.rank_server import request
from tests.waiting import wait_until

ROOT = Path(__file__).resolve().parents[2]

RETRIES = {
    "methodConfig": [
        {
            "name": [{"service": "crossrec.ranking.v1.RankingService"}],
            "retryPolicy": {
                "maxAttempts": 5,
                "initialBackoff": "0.1s",
                "maxBackoff": "1s",
                "backoffMultiplier": 2,
                # CANCELLED is gRPC's code for a call that a stopping server had not begun (grpc/grpc#41785).
                "retryableStatusCodes": ["UNAVAILABLE", "RESOURCE_EXHAUSTED", "CANCELLED"],
            },
        }
    ]
}
"""The client settings of the README."""


@dataclass
class Server:
    """The supervisor as an operator sees it."""

    process: "subprocess.Popen[str]"
    address: str
    probes: str

    def ready(self) -> tuple[int, dict[str, Any]]:
        """The answer of /ready."""
        try:
            with urllib.request.urlopen(f"http://{self.probes}/ready", timeout=300) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error)

    def all_ready(self, workers: int) -> bool:
        """Whether exactly that many workers exist and are ready."""
        report = self.ready()[1]
        return (workers, 0, 0) == tuple(report[f"workers_{state}"] for state in ("ready", "starting", "draining"))

    def deaths(self) -> int:
        """Workers that have died so far."""
        return int(self.ready()[1]["worker_deaths"])

    def workers(self) -> list[int]:
        """Process ids of the workers."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return [int(pid) for pid in children if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]


@contextmanager
def supervised(
    directory: Path, workers: int = 2, work_s: float = 0.005, wait_until_ready: bool = True
) -> Iterator[Server]:
    """A server of its own; ended at the end, however the test ends."""
    command = [sys.executable, "-m", "tests.contract.supervised_server", str(workers), str(work_s), str(directory)]
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'proto' / 'gen'}"}
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout
        server = Server(process, *process.stdout.readline().split())
        if wait_until_ready:
            wait_until(lambda: server.all_ready(workers))
        yield server
    finally:
        process.kill()  # its workers end with it
        process.wait()
        if process.stdout:
            process.stdout.close()


@dataclass
class Client:
    """Sends requests without pause on its own connection, and records the answering workers and the failures."""

    address: str
    retries: bool
    answered: list[str] = field(default_factory=list)
    failed: list[tuple[str, grpc.StatusCode]] = field(default_factory=list)
    """The worker that answered last before, and the code."""
    _channel: list[grpc.Channel] = field(default_factory=list)

    def close(self) -> None:
        """Close the channels."""
        for channel in self._channel:
            channel.close()

    def run(self, stop: threading.Event) -> None:
        """Rank until `stop` is set or the channel is closed."""
        options = [
            ("grpc.use_local_subchannel_pool", 1),
            ("grpc.initial_reconnect_backoff_ms", 100),
            ("grpc.min_reconnect_backoff_ms", 100),
            ("grpc.max_reconnect_backoff_ms", 500),
        ]
        options += [("grpc.service_config", json.dumps(RETRIES))] if self.retries else [("grpc.enable_retries", 0)]
        with grpc.insecure_channel(self.address, options) as channel:
            self._channel.append(channel)
            stub = RankingServiceStub(channel)
            while not stop.is_set():
                try:
                    answer = stub.Rank(request(), timeout=300, wait_for_ready=True)
                    self.answered.append(answer.model_version.removeprefix("fake/"))
                except grpc.RpcError as error:
                    self.failed.append((self.answered[-1] if self.answered else "", error.code()))


@contextmanager
def asking(server: Server, clients: int = 6, *, retries: bool) -> Iterator[list[Client]]:
    """Run concurrent clients; each has an answer before the block begins."""
    stop, asked = threading.Event(), [Client(server.address, retries) for _ in range(clients)]
    threads = [threading.Thread(target=client.run, args=(stop,)) for client in asked]
    for thread in threads:
        thread.start()
    try:
        wait_until(lambda: all(client.answered for client in asked))
        yield asked
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def kill_one(server: Server) -> str:
    """Kill the oldest worker and wait until there are two again; returns its pid."""
    pid, deaths = min(server.workers()), server.deaths()
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: server.deaths() > deaths and server.all_ready(2))
    return str(pid)


def test_a_retrying_client_sees_no_failure_in_twenty_kills_and_an_exchange(tmp_path: Path) -> None:
    """No request fails, and at the end none of the first workers is left."""
    with supervised(tmp_path) as server, asking(server, retries=True) as clients:
        killed = {kill_one(server) for _ in range(20)}
        before = set(server.workers())
        server.process.send_signal(signal.SIGHUP)
        wait_until(lambda: server.all_ready(2) and not before & set(server.workers()))
        seen = [len(client.answered) for client in clients]
        wait_until(lambda: all(len(c.answered) > n + 5 for c, n in zip(clients, seen, strict=True)))
    assert 20 == len(killed)
    assert [] == [failure for client in clients for failure in client.failed]
    assert not {client.answered[-1] for client in clients} & (killed | set(map(str, before)))


def test_without_retries_a_kill_fails_the_requests_of_the_killed_worker(tmp_path: Path) -> None:
    """Only requests fail that were sent over a connection to a killed worker before the client noticed its death.

    They fail with UNAVAILABLE, and the next requests of their clients are answered without any action.
    """
    with supervised(tmp_path) as server, asking(server, retries=False) as clients:
        killed = {kill_one(server) for _ in range(3)}
        wait_until(lambda: not killed & {client.answered[-1] for client in clients})
    failures = [failure for client in clients for failure in client.failed]
    assert failures
    assert {holder for holder, _ in failures} <= killed
    assert {grpc.StatusCode.UNAVAILABLE} == {code for _, code in failures}


def test_a_stop_under_load_answers_all_started_rankings(tmp_path: Path) -> None:
    """Every ranking that a worker began is answered, and then the supervisor ends with status 0."""
    with supervised(tmp_path, work_s=0.2) as server:
        stop, clients = threading.Event(), [Client(server.address, retries=False) for _ in range(8)]
        threads = [threading.Thread(target=client.run, args=(stop,)) for client in clients]
        for thread in threads:
            thread.start()
        wait_until(lambda: all(client.answered for client in clients))
        server.process.send_signal(signal.SIGTERM)
        assert 0 == server.process.wait()
        stop.set()
        for client in clients:
            client.close()
        for thread in threads:
            thread.join()
    begun = len((tmp_path / "begun").read_bytes())
    assert begun == sum(len(client.answered) for client in clients)


def test_a_crash_loop_is_reported_and_ends_with_its_cause(tmp_path: Path) -> None:
    """/ready reports the reason; old workers keep serving while new ones crash."""
    broken = tmp_path / "broken"
    broken.touch()
    with supervised(tmp_path, workers=1, wait_until_ready=False) as server:
        wait_until(lambda: "died before they were ready: ended with status 3" in " ".join(server.ready()[1]["reasons"]))
        assert 503 == server.ready()[0]
        assert "no worker is ready" in server.ready()[1]["reasons"]
        broken.unlink()
        wait_until(lambda: server.ready()[0] == 200)
        (old,) = server.workers()
        broken.touch()
        deaths = server.deaths()
        server.process.send_signal(signal.SIGHUP)
        with asking(server, clients=1, retries=False) as clients:
            wait_until(lambda: server.deaths() > deaths)
            assert [] == clients[0].failed
        assert [old] == server.workers()
        assert 200 == server.ready()[0]


def test_workers_end_with_their_supervisor(tmp_path: Path) -> None:
    """Even if it is killed."""
    with supervised(tmp_path) as server:
        workers = server.workers()
        assert 2 == len(workers)
        server.process.kill()
        server.process.wait()
        wait_until(lambda: not any(Path(f"/proc/{pid}/cmdline").exists() for pid in workers))


@pytest.mark.parametrize("shared", [False, True])
def test_a_port_that_is_taken_is_an_error(shared: bool) -> None:
    """Also a port that its owner opened for sharing."""
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, int(shared))
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        wanted = reserved_port(f"127.0.0.1:{taken.getsockname()[1]}")
        with pytest.raises(ConfigurationError, match="listen: cannot bind"), wanted:
            pass


def metric(server: Server, line: str) -> float:
    """The value of a sample of /metrics, 0 if there is none."""
    with urllib.request.urlopen(f"http://{server.probes}/metrics", timeout=300) as answer:
        lines = answer.read().decode().splitlines()
    return next((float(found.rpartition(" ")[2]) for found in lines if found.startswith(f"{line} ")), 0.0)


def test_metrics_are_those_of_all_workers_and_of_their_predecessors(tmp_path: Path) -> None:
    """Every answer counts once, in the worker that gave it, also after an exchange, a kill, and with a hung worker."""
    answers, seconds = 'crossrec_ranking_requests_total{code="OK"}', "crossrec_ranking_request_seconds_count"
    with supervised(tmp_path) as server:
        with asking(server, clients=16, retries=True) as clients:  # so that hardly ever one worker gets them all
            wait_until(lambda: sum(len(client.answered) for client in clients) > 200)
        asked = sum(len(client.answered) for client in clients)
        assert 2 == len({name for client in clients for name in client.answered})
        wait_until(lambda: metric(server, answers) >= asked)
        assert (asked, asked) == (metric(server, answers), metric(server, seconds))
        before = set(server.workers())
        server.process.send_signal(signal.SIGHUP)
        wait_until(lambda: server.all_ready(2) and not before & set(server.workers()))
        assert asked == metric(server, answers)
        kill_one(server)
        assert asked == metric(server, answers)
        hung = server.workers()[0]
        os.kill(hung, signal.SIGSTOP)
        assert asked == metric(server, answers)
        os.kill(hung, signal.SIGCONT)
