"""The state file of a data directory: each server's ports, and the process that was started for it.

One JSON file, replaced atomically. Ports stay after the servers stop, so that a restart keeps them.
"""

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from services.errors import InfraFailed
from services.infra.folder_lock import hold
from services.infra.process import ProcessRef, is_alive

STATE_FILE = "state.json"


@dataclass(frozen=True)
class ServerState:
    """One server's ports by role, and its process if one was started and not stopped."""

    ports: dict[str, int] = field(default_factory=dict)
    process: ProcessRef | None = None

    def is_running(self) -> bool:
        """Whether the recorded process still runs."""
        return self.process is not None and is_alive(self.process)


@dataclass(frozen=True)
class InfraState:
    """The state of all servers of one data directory."""

    servers: dict[str, ServerState] = field(default_factory=dict)

    def of(self, name: str) -> ServerState:
        """The server's state; empty if it never ran."""
        return self.servers.get(name, ServerState())

    def with_server(self, name: str, server: ServerState) -> "InfraState":
        """A copy in which one server's state is replaced."""
        return replace(self, servers={**self.servers, name: server})


def load_state(data_dir: Path) -> InfraState:
    """Read the state file; without one, no server ever ran.

    Raises:
        InfraFailed: The file was not written by `save_state`.
    """
    path = data_dir / STATE_FILE
    if not path.exists():
        return InfraState()
    try:
        servers = json.loads(path.read_text())["servers"]
        return InfraState({name: _server_state(entry) for name, entry in servers.items()})
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InfraFailed(f"{path} is damaged ({error!r}); stop its servers by hand, then delete it") from error


def _server_state(entry: dict[str, dict[str, int]]) -> ServerState:
    process = entry["process"]
    return ServerState(dict(entry["ports"]), ProcessRef(**process) if process else None)  # type: ignore[arg-type]


def save_state(data_dir: Path, state: InfraState) -> None:
    """Replace the state file atomically."""
    path = data_dir / STATE_FILE
    draft = path.with_name(path.name + ".new")
    draft.write_text(json.dumps(asdict(state), indent=2) + "\n")
    draft.replace(path)


def locked(
    directory: Path, purpose: str, report: Callable[[str], None] = lambda _: None
) -> AbstractContextManager[None]:
    """Lock the directory (created if absent) for one command at a time; others report the holder and wait."""
    return hold(directory / "lock", directory, purpose, report)
