"""Where the demo keeps things and the processes it starts; nothing of it outlives the demo."""

import os
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.errors import CrossRecError
from services.infra.commands import Endpoints, InfraConfig, down, status, up
from services.infra.ports import choose_port
from services.settings.processes import CONSUMER_KINDS

CONFIG = Path(__file__).resolve().parents[1] / "datasets" / "completejourney.toml"
STOP_S = 20.0
"""Seconds that a process gets to stop by itself."""


class HarnessError(CrossRecError):
    """A step of the demo did not do what it must."""


_PROTECTING = ("SECURITY_PROTOCOL", "SASL_", "USERNAME", "PASSWORD", "CA_FILE", "CERTIFICATE_FILE", "KEY_FILE")
FOREIGN = (
    "CROSSREC_SECURITY__",
    *(f"CROSSREC_KAFKA__{name}" for name in _PROTECTING),
    *(f"CROSSREC_STORE__{name}" for name in _PROTECTING),
)
"""How variables begin that protect other servers than the environment's own, which are on loopback and open."""


@dataclass
class Processes:
    """Child processes running `crossrec ...`, with their logs."""

    logs: Path
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(self, name: str, *arguments: str) -> None:
        """Start `crossrec <arguments>`; its output is appended to <logs>/<name>.log."""
        self.start_python(name, "-c", "from services.main import main; main()", *arguments)

    def start_python(self, name: str, *arguments: str) -> None:
        """Start `python <arguments>` likewise."""
        self.logs.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, *arguments]
        with (self.logs / f"{name}.log").open("ab") as log:
            self.running[name] = subprocess.Popen(command, stdout=log, stderr=log)

    def kill(self, name: str) -> None:
        """End a process with SIGKILL, as a crash would."""
        process = self.running.pop(name)
        process.kill()
        process.wait()

    def stop_one(self, name: str) -> None:
        """Ask a process to stop and wait until it has; HarnessError if it does not, or fails."""
        process = self.running[name]
        process.send_signal(signal.SIGTERM)
        status = process.wait(STOP_S)
        del self.running[name]
        if status:
            raise HarnessError(f"{name} ended with status {status}: see {self.logs / name}.log")

    def finish(self, name: str) -> None:
        """Wait until a process has ended by itself; HarnessError if it failed."""
        status = self.running.pop(name).wait()
        if status:
            raise HarnessError(f"{name} ended with status {status}: see {self.logs / name}.log")

    def check(self) -> None:
        """Raise HarnessError if a process ended by itself."""
        for name, process in self.running.items():
            if process.poll() is not None:
                tail = "\n".join((self.logs / f"{name}.log").read_text(errors="replace").splitlines()[-15:])
                raise HarnessError(f"{name} ended with status {process.returncode}:\n{tail}")

    def stop(self) -> None:
        """Ask all to stop, kill those that do not."""
        for process in self.running.values():
            process.send_signal(signal.SIGTERM)
        for process in self.running.values():
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.running.clear()


class Environment:
    """Infrastructure, settings by environment variables, and processes; a context manager.

    Args:
        out: directory for everything; what an earlier run left there is removed.
        dataset: name of the data set, a directory below the data directory.
    """

    def __init__(self, out: Path, dataset: str) -> None:
        self.out, self.dataset = out.resolve(), dataset
        self.data = self.out / "data"
        self.infra = InfraConfig(self.out / "infra")
        self.processes = Processes(self.out / "logs")
        self.gateway_address = self.ranking_address = ""
        self._environment: dict[str, str] = {}

    def __enter__(self) -> "Environment":
        if self.out.exists():
            down(self.infra)
            shutil.rmtree(self.out)
        endpoints = up(self.infra)
        self.started_in_s = endpoints.started_in_s
        self._environment = dict(os.environ)
        for name in [name for name in os.environ if name.startswith(FOREIGN)]:
            del os.environ[name]
        os.environ.update(self._variables(endpoints))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.processes.stop()
        down(self.infra)
        os.environ.clear()
        os.environ.update(self._environment)

    def _variables(self, endpoints: Endpoints) -> dict[str, str]:
        gateway = choose_port(0, None, ())
        self.gateway_address = f"127.0.0.1:{gateway}"
        self.ranking_address = f"127.0.0.1:{choose_port(0, None, (gateway,))}"
        return {
            "CROSSREC_CONFIG": str(CONFIG),
            "CROSSREC_DATA_DIR": str(self.data),
            "CROSSREC_REGISTRY_DIR": str(self.data / "registry"),
            "CROSSREC_ENCODER_DIR": str(self.data / "encoder"),
            "CROSSREC_KAFKA__BOOTSTRAP_SERVERS": endpoints.kafka_bootstrap,
            "CROSSREC_STORE__URL": endpoints.valkey_address,
            "CROSSREC_STORE__REGISTRY": str(self.data / "feast" / "registry.db"),
            "CROSSREC_STORE__OFFLINE_DIR": str(self.data / "offline"),
            "CROSSREC_GATEWAY__LISTEN": self.gateway_address,
            "CROSSREC_RANKING__LISTEN": self.ranking_address,
        }

    def infra_pids(self) -> list[int]:
        """Processes of Kafka and Valkey."""
        return [each.pid for each in status(self.infra) if each.pid]

    def start_ranking(self) -> None:
        """Start the ranking server alone and wait until it answers healthy."""
        self.processes.start("ranking", "serve", "ranking")
        self.wait_healthy(self.ranking_address)

    def start_gateway(self) -> None:
        """Start the event gateway alone and wait until it answers healthy."""
        self.processes.start("gateway", "serve", "gateway")
        self.wait_healthy(self.gateway_address)

    def start_servers(self) -> None:
        """Start gateway, ranking server and consumers, and wait until both servers answer healthy."""
        self.processes.start("gateway", "serve", "gateway")
        self.processes.start("ranking", "serve", "ranking")
        for kind in CONSUMER_KINDS:
            self.processes.start(f"consumer-{kind}", "consume", kind)
        for address in (self.gateway_address, self.ranking_address):
            self.wait_healthy(address)

    def wait_healthy(self, address: str, timeout_s: float = 60.0) -> None:
        """Return when a server answers healthy; HarnessError if a process ended or it does not serve."""
        with grpc.insecure_channel(address) as channel:
            stub = health_pb2_grpc.HealthStub(channel)
            # wait_for_ready lets gRPC itself retry the connection until the server listens.
            reply = stub.Check(health_pb2.HealthCheckRequest(), timeout=timeout_s, wait_for_ready=True)  # type: ignore[attr-defined]
        self.processes.check()
        if reply.status != health_pb2.HealthCheckResponse.SERVING:
            raise HarnessError(f"{address} is up but not serving")
