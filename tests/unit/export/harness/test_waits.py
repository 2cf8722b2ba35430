"""Waits of the demo and of benchmarks: bound by conditions, and patient with a busy machine."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import HealthServicer

from export.harness import environment as harness
from export.harness.environment import Environment, HarnessError
from export.harness.stream import ConsumerLagProbe
from services.infra.ports import choose_port
from services.kafka.connection import KafkaUnavailable

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Environment:
    monkeypatch.setattr(harness, "ASK_S", 0.05)
    return Environment(tmp_path / "out", "any")


@pytest.fixture
def late() -> Iterator[tuple[str, Any]]:
    """The address of a server that does not listen yet, and a function that starts it, not serving at first."""
    address = f"127.0.0.1:{choose_port(0, None, ())}"
    health, server = HealthServicer(), grpc.server(ThreadPoolExecutor(2))
    health_pb2_grpc.add_HealthServicer_to_server(health, server)

    def start() -> None:
        health.set("", NOT_SERVING)
        server.add_insecure_port(address)
        server.start()
        threading.Timer(0.2, health.set, ("", SERVING)).start()

    yield address, start
    server.stop(None).wait()


def test_a_server_that_is_slow_to_start_is_waited_for(environment: Environment, late: tuple[str, Any]) -> None:
    """Until it listens, and then until it serves."""
    address, start = late
    threading.Timer(0.3, start).start()
    environment.wait_healthy(address)


def test_a_server_that_never_serves_is_an_error(environment: Environment, late: tuple[str, Any]) -> None:
    """With its last status, not a traceback of gRPC."""
    with pytest.raises(HarnessError, match=r"is not healthy after 0\.2 s: DEADLINE_EXCEEDED"):
        environment.wait_healthy(late[0], timeout_s=0.2)


def test_a_process_that_ended_is_not_waited_for(environment: Environment, late: tuple[str, Any]) -> None:
    """The error has the end of its log."""
    environment.processes.start_python("ranking", "-c", "raise SystemExit('no model')")
    environment.processes.running["ranking"].wait()
    with pytest.raises(HarnessError, match="ranking ended with status 1:\nno model"):
        environment.wait_healthy(late[0])


class FakeProbe(ConsumerLagProbe):
    """Answers with these lags or errors, then with none."""

    def __init__(self, *answers: dict[str, int] | Exception) -> None:
        self._topics, self._answers = {"g": "t"}, list(answers)

    def lag_by_group(self) -> dict[str, int]:
        answer = self._answers.pop(0) if self._answers else {}
        if isinstance(answer, Exception):
            raise answer
        return answer


def test_consumers_are_waited_for_while_kafka_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also before its first answer."""
    monkeypatch.setattr("export.harness.stream.time", SimpleNamespace(monotonic=lambda: 0.0, sleep=lambda _: None))
    reported: list[int] = []
    away = KafkaUnavailable("CoordinatorNotAvailableError")
    FakeProbe(away, {"g": 7}, away, {"g": 3}).wait(lambda: None, reported.append)
    assert [1, 7, 7, 3, 0] == reported


def test_consumers_that_make_no_progress_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted from the last progress, not from the beginning."""
    now = iter(range(0, 1000, 10))
    monkeypatch.setattr(
        "export.harness.stream.time", SimpleNamespace(monotonic=lambda: float(next(now)), sleep=lambda _: None)
    )
    lags = [{"g": left} for left in range(9, 3, -1)] + [{"g": 3}] * 20
    with pytest.raises(HarnessError, match=r"folded nothing for 60 s; lag in records: \{'g': 3\}"):
        FakeProbe(*lags).wait(lambda: None, lambda _: None, stall_s=60)
