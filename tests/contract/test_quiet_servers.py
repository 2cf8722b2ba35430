"""Standard error of the servers as operators start them: JSON lines, whatever arrives from the network."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.contract.strange_connections import connect_strangely

ROOT = Path(__file__).resolve().parents[2]
NO_KAFKA = "127.0.0.1:9"
"""The gateway serves without it, too."""


@contextmanager
def gateway(log: Path, **variables: str) -> Iterator[str]:
    """`crossrec serve gateway` as its operator starts it; yields its address."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("CROSSREC_", "GRPC_"))}
    environment |= {"PYTHONPATH": f"{ROOT}:{ROOT / 'proto' / 'gen'}", "CROSSREC_GATEWAY__LISTEN": "127.0.0.1:0"}
    environment |= {"CROSSREC_KAFKA__BOOTSTRAP_SERVERS": NO_KAFKA, **variables}
    command = [sys.executable, "-c", "from services.main import main; main()", "serve", "gateway"]
    with log.open("w") as errors, subprocess.Popen(command, cwd=ROOT, env=environment, stderr=errors) as process:
        try:
            address = address_in(log)
            answers(address)
            yield address
            answers(address)  # so that all earlier input is processed
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait()


def answers(address: str) -> None:
    """Return once the server answers, with any status."""
    with grpc.insecure_channel(address, [("grpc.use_local_subchannel_pool", 1)]) as channel:
        health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=300, wait_for_ready=True)


def address_in(log: Path) -> str:
    """The address that the log reports; the test's time-out bounds the wait."""
    while True:
        for line in log.read_text(errors="replace").splitlines():
            if '"gateway_started"' in line:
                return str(json.loads(line)["address"])
        threading.Event().wait(0.02)


def strange_lines(log: Path) -> list[str]:
    """Lines that are not JSON objects."""
    lines = log.read_text(errors="replace").split("\n")
    return [line for line in lines if line and not line.startswith('{"time": ')]


def test_bytes_of_unknown_peers_are_not_in_the_log(tmp_path: Path) -> None:
    """Neither their bytes nor their addresses, and every line is JSON that a collector can read."""
    log = tmp_path / "log"
    with gateway(log) as address:
        connect_strangely(address, range(150))
    assert [] == strange_lines(log)
    events = [json.loads(line)["event"] for line in log.read_text().splitlines()]
    assert {"gateway_started", "gateway_stopped"} <= set(events)


def test_grpc_logging_can_be_enabled(tmp_path: Path) -> None:
    """By gRPC's own environment variable; this also proves that the bytes above make gRPC log."""
    log = tmp_path / "log"
    with gateway(log, GRPC_VERBOSITY="INFO") as address:
        connect_strangely(address, range(150))
    assert strange_lines(log)
