"""A local environment: embedded Kafka and Valkey, settings, and child processes, all stopped at exit."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.errors import CrossRecError
from services.infra.commands import Endpoints, InfraConfig, down, status, up
from services.infra.folder_lock import hold
from services.infra.ports import choose_port
from services.settings.private_files import make_private_directory
from services.settings.processes import CONSUMER_KINDS

CONFIG = Path(__file__).resolve().parents[1] / "datasets" / "completejourney.toml"
STOP_S = 120.0
"""Seconds from SIGTERM until a process is killed."""

HEALTHY_S = 600.0
"""Longest wait for a server that starts, seconds: on a busy machine, imports alone take a minute."""

ASK_S = 2.0
"""Time-out of one question for its health, seconds."""


class HarnessError(CrossRecError):
    """A step of the demo or of a benchmark failed."""


_SECURITY_SETTINGS = ("SECURITY_PROTOCOL", "SASL_", "USERNAME", "PASSWORD", "CA_FILE", "CERTIFICATE_FILE", "KEY_FILE")
REMOVED_VARIABLES = (
    *("CROSSREC_REGISTRY_DIR", "CROSSREC_ENCODER_DIR", "CROSSREC_STORE__REGISTRY", "CROSSREC_STORE__OFFLINE_DIR"),
    "CROSSREC_SECURITY__",
    *(f"CROSSREC_KAFKA__{name}" for name in _SECURITY_SETTINGS),
    *(f"CROSSREC_STORE__{name}" for name in _SECURITY_SETTINGS),
)
"""Prefixes of variables that place files elsewhere, or secure other servers; the environment's own are open."""


SERVING = "SERVING"


@dataclass
class Processes:
    """Child processes running `crossrec ...`, with their logs."""

    logs: Path
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(self, name: str, *arguments: str) -> None:
        """Start `crossrec <arguments>`; its output is appended to <logs>/<name>.log."""
        self.start_python(name, "-c", "from services.main import main; main()", *arguments)

    def start_python(self, name: str, *arguments: str) -> None:
        """Start `python <arguments>`; its output is appended to <logs>/<name>.log."""
        self.logs.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, *arguments]
        with (self.logs / f"{name}.log").open("ab") as log:
            self.running[name] = subprocess.Popen(command, stdout=log, stderr=log)

    def kill(self, name: str) -> None:
        """Kill a process with SIGKILL, to simulate a crash."""
        process = self.running.pop(name)
        process.kill()
        process.wait()

    def stop_one(self, name: str) -> None:
        """Send SIGTERM to a process and wait for its end; HarnessError if its exit status is not 0."""
        process = self.running[name]
        process.send_signal(signal.SIGTERM)
        status = process.wait(STOP_S)
        del self.running[name]
        if status:
            raise HarnessError(f"{name} ended with status {status}: see {self.logs / name}.log")

    def finish(self, name: str) -> None:
        """Wait until a process has ended by itself; HarnessError if its exit status is not 0."""
        status = self.running.pop(name).wait()
        if status:
            raise HarnessError(f"{name} ended with status {status}: see {self.logs / name}.log")

    def check(self) -> None:
        """Raise HarnessError, with the end of its log, if a process has ended."""
        for name, process in self.running.items():
            if process.poll() is not None:
                tail = "\n".join((self.logs / f"{name}.log").read_text(errors="replace").splitlines()[-15:])
                raise HarnessError(f"{name} ended with status {process.returncode}:\n{tail}")

    def stop(self) -> None:
        """Send SIGTERM to all processes; kill those that do not end in time."""
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
    """Infrastructure, settings in environment variables, and processes; a context manager.

    Entering it raises FolderInUse, naming the holder, while another process uses the directory.

    Args:
        out: directory for all files; removed first, if an environment made it.
        dataset: name of the data set, a directory below the data directory.
        report: called before what takes long.
    """

    def __init__(
        self,
        out: Path,
        dataset: str,
        report: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.out, self.dataset = out.resolve(), dataset
        self._report, self._lock = report, ExitStack()
        self.data = self.out / "data"
        self.infra = InfraConfig(self.out / "infra")
        self.processes = Processes(self.out / "logs")
        self.gateway_address = self.ranking_address = ""
        self._environment: dict[str, str] = {}

    def __enter__(self) -> "Environment":
        # Beside the directory, which is removed.
        lock = self.out.with_name(f".{self.out.name}.lock")
        self._lock.enter_context(hold(lock, self.out, f"crossrec {' '.join(sys.argv[1:3])}"))
        try:
            return self._start()
        except BaseException:
            self._lock.close()
            raise

    def _start(self) -> "Environment":
        if self.out.exists():
            if any(self.out.iterdir()) and not self.infra.data_dir.is_dir():
                raise HarnessError(f"{self.out} exists and was not made by this command: choose another directory")
            down(self.infra)
            shutil.rmtree(self.out)
        make_private_directory(self.out)
        endpoints = up(self.infra, self._report)
        self.started_in_s = endpoints.started_in_s
        self._environment = dict(os.environ)
        for name in [name for name in os.environ if name.startswith(REMOVED_VARIABLES)]:
            del os.environ[name]
        os.environ.update(self._variables(endpoints))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
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
            "CROSSREC_DATASET__NAME": self.dataset,
            "CROSSREC_KAFKA__BOOTSTRAP_SERVERS": endpoints.kafka_bootstrap,
            "CROSSREC_STORE__URL": endpoints.valkey_address,
            "CROSSREC_GATEWAY__LISTEN": self.gateway_address,
            "CROSSREC_RANKING__LISTEN": self.ranking_address,
        }

    def set_variable(self, name: str, value: str) -> None:
        """Set an environment variable of this process and of those that are started from now on, until the exit."""
        os.environ[name] = value

    def infra_pids(self) -> list[int]:
        """Process ids of Kafka and Valkey."""
        return [each.pid for each in status(self.infra) if each.pid]

    def start_ranking(self) -> None:
        """Start the ranking server alone and wait until it is healthy."""
        self.processes.start("ranking", "serve", "ranking")
        self.wait_healthy(self.ranking_address)

    def start_gateway(self) -> None:
        """Start the event gateway alone and wait until it is healthy."""
        self.processes.start("gateway", "serve", "gateway")
        self.wait_healthy(self.gateway_address)

    def start_servers(self) -> None:
        """Start gateway, ranking server and consumers, and wait until both servers are healthy."""
        self.processes.start("gateway", "serve", "gateway")
        self.processes.start("ranking", "serve", "ranking")
        for kind in CONSUMER_KINDS:
            self.processes.start(f"consumer-{kind}", "consume", kind)
        for address in (self.gateway_address, self.ranking_address):
            self.wait_healthy(address)

    def wait_healthy(self, address: str, timeout_s: float = HEALTHY_S) -> None:
        """Wait until a server's health check passes; HarnessError if a process ends, or after `timeout_s` seconds."""
        deadline = time.monotonic() + timeout_s
        with grpc.insecure_channel(address) as channel:
            check = health_pb2_grpc.HealthStub(channel).Check  # type: ignore[attr-defined]
            while (found := _health(check)) != SERVING:
                self.processes.check()
                if time.monotonic() > deadline:
                    raise HarnessError(f"{address} is not healthy after {timeout_s:g} s: {found}")
                time.sleep(0.1)


def _health(check: Callable[..., health_pb2.HealthCheckResponse]) -> str:
    """The server's status, or the code of the error."""
    try:
        # wait_for_ready lets gRPC itself retry the connection until the server listens.
        reply = check(health_pb2.HealthCheckRequest(), timeout=ASK_S, wait_for_ready=True)
    except grpc.RpcError as error:
        return str(error.code().name)
    return str(health_pb2.HealthCheckResponse.ServingStatus.Name(reply.status))
