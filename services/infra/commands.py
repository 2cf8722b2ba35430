"""Start, inspect and stop the embedded infrastructure of one data directory.

The servers outlive the command that starts them; later commands find them through the state file alone.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from services.errors import InfraFailed
from services.infra.kafka import KafkaServer, default_cache_dir
from services.infra.ports import choose_port
from services.infra.process import is_alive, log_tail, spawn, terminate, wait_until
from services.infra.state import InfraState, ServerState, load_state, locked, save_state
from services.infra.valkey import ValkeyServer
from services.settings.private_files import make_private_directory

Report = Callable[[str], None]
"""Called with what is done next, before it is done."""


@dataclass(frozen=True)
class InfraConfig:
    """Data directory, ports and limits of the servers; port 0: the last port if still free, else any free one."""

    data_dir: Path
    kafka_port: int = 0
    valkey_port: int = 0
    kafka_heap_mb: int = 384
    kafka_advertised_port: int = 0
    """Port that Kafka advertises to clients, if they connect through a proxy on another port; 0: its own port."""
    valkey_fsync: Literal["everysec", "always"] = "everysec"
    """When Valkey's append-only file is synced."""
    start_timeout_s: float = 300.0
    stop_timeout_s: float = 120.0
    """Seconds from SIGTERM to SIGKILL."""


@dataclass(frozen=True)
class Endpoints:
    """Addresses of the running servers."""

    kafka_bootstrap: str
    valkey_url: str
    """As redis-py takes it: redis://host:port/0."""
    valkey_address: str
    """As Feast takes it: host:port."""
    started_in_s: float = field(default=0.0, compare=False)
    """Seconds until all servers answered, downloads included; 0 if they ran already."""


@dataclass(frozen=True)
class ServerStatus:
    """One server as it is now."""

    name: str
    condition: str
    """running, unresponsive (its process lives but does not answer) or stopped."""
    address: str | None
    pid: int | None
    log: Path


class EmbeddedServer(Protocol):
    """A kind of server: how to install, start, check and recover it."""

    name: str
    log: Path
    port_roles: tuple[str, ...]

    def install(self, report: Report = lambda _: None) -> None:
        """Make the software available on this machine; calls `report` before a download."""

    def prepare(self, ports: dict[str, int]) -> list[str]:
        """Write its files and return the command to run."""

    def is_ready(self, ports: dict[str, int]) -> bool:
        """Whether it answers requests."""

    def recover(self, ports: dict[str, int], timeout_s: float) -> None:
        """Repair what a killed server left behind, once it answers."""


def up(config: InfraConfig, report: Report = lambda _: None) -> Endpoints:
    """Start the servers that do not run yet, and wait until all of them answer.

    A failed start stops the servers that this call started, and no others. Calls `report` before what takes long:
    downloads, starts, and waiting for another command in the same directory.

    Raises:
        InfraUnavailable: This machine lacks the packages.
        InfraFailed: A port is taken, or a server does not start; the message ends with its log's tail.
    """
    data_dir = config.data_dir.resolve()
    make_private_directory(data_dir)
    with locked(data_dir, "infra up", report):
        servers = _servers(config)
        state = load_state(data_dir)
        _refuse_other_ports(config, state)
        missing = [server for server in servers if not state.of(server.name).is_running()]
        begun = time.monotonic()
        for server in missing:
            server.install(report)
        try:
            for server in missing:
                report(f"starting {server.name}")
                state = _start(server, state, config)
            for server in servers:
                _wait_ready(server, state.of(server.name), config.start_timeout_s)
            for server in missing:
                server.recover(state.of(server.name).ports, config.start_timeout_s)
        except BaseException:
            _stop([server.name for server in missing], config)
            raise
        return _endpoints(state, time.monotonic() - begun if missing else 0.0)


def status(config: InfraConfig) -> tuple[ServerStatus, ...]:
    """Each server as it is now; changes nothing."""
    state = load_state(config.data_dir.resolve())
    return tuple(_server_status(server, state.of(server.name)) for server in _servers(config))


def down(config: InfraConfig, report: Report = lambda _: None) -> tuple[str, ...]:
    """Stop the servers that the state file records, and no other process; data and ports are kept.

    Returns:
        The names of the servers that were running.

    Raises:
        InfraFailed: A server does not end, or the state file is damaged.
    """
    data_dir = config.data_dir.resolve()
    if not data_dir.exists():
        return ()
    with locked(data_dir, "infra down", report):
        return _stop([server.name for server in _servers(config)], config)


def _servers(config: InfraConfig) -> tuple[EmbeddedServer, ...]:
    data_dir = config.data_dir.resolve()
    kafka = KafkaServer(data_dir, config.kafka_heap_mb, default_cache_dir(), config.kafka_advertised_port)
    return ValkeyServer(data_dir, config.valkey_fsync), kafka


def _wanted_ports(config: InfraConfig) -> dict[str, int]:
    return {KafkaServer.name: config.kafka_port, ValkeyServer.name: config.valkey_port}


def _refuse_other_ports(config: InfraConfig, state: InfraState) -> None:
    for name, wanted in _wanted_ports(config).items():
        server = state.of(name)
        if wanted and server.is_running() and server.ports["client"] != wanted:
            raise InfraFailed(
                f"{name} already runs on port {server.ports['client']}; stop it before asking for {wanted}"
            )


def _start(server: EmbeddedServer, state: InfraState, config: InfraConfig) -> InfraState:
    data_dir = config.data_dir.resolve()
    taken = {port for name, other in state.servers.items() if name != server.name for port in other.ports.values()}
    ports: dict[str, int] = {}
    for role in server.port_roles:
        wanted = _wanted_ports(config)[server.name] if role == "client" else 0
        ports[role] = choose_port(wanted, state.of(server.name).ports.get(role), taken | set(ports.values()))
    process = spawn(server.prepare(ports), server.log)
    # Recorded before it is ready: if this command is killed now, `down` still finds the process.
    state = state.with_server(server.name, ServerState(ports, process))
    save_state(data_dir, state)
    return state


def _wait_ready(server: EmbeddedServer, state: ServerState, timeout_s: float) -> None:
    process = state.process
    if process is None:
        raise InfraFailed(f"{server.name} has no process")
    in_time = wait_until(lambda: server.is_ready(state.ports) or not is_alive(process), timeout_s)
    # Alive as well as answering: otherwise another program may have taken the port and answered.
    ending = f"end of {server.log}:\n{log_tail(server.log)}"
    if not is_alive(process):
        raise InfraFailed(f"{server.name} ended while starting; {ending}")
    if not in_time:
        raise InfraFailed(f"{server.name} does not answer after {timeout_s:g} s; {ending}")


def _stop(names: Sequence[str], config: InfraConfig) -> tuple[str, ...]:
    data_dir = config.data_dir.resolve()
    state = load_state(data_dir)
    stopped = []
    for name in names:
        server = state.of(name)
        if server.process is None:
            continue
        if terminate(server.process, config.stop_timeout_s):
            stopped.append(name)
        state = state.with_server(name, ServerState(server.ports))
        save_state(data_dir, state)
    return tuple(stopped)


def _endpoints(state: InfraState, started_in_s: float) -> Endpoints:
    kafka, valkey = (f"127.0.0.1:{state.of(name).ports['client']}" for name in (KafkaServer.name, ValkeyServer.name))
    return Endpoints(kafka, f"redis://{valkey}/0", valkey, started_in_s)


def _server_status(server: EmbeddedServer, state: ServerState) -> ServerStatus:
    if state.process is None or not state.is_running():
        return ServerStatus(server.name, "stopped", None, None, server.log)
    condition = "running" if server.is_ready(state.ports) else "unresponsive"
    return ServerStatus(server.name, condition, f"127.0.0.1:{state.ports['client']}", state.process.pid, server.log)
