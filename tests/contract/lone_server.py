"""A server in its own process, so that tests can measure its memory, threads, descriptors and log.

`python -m tests.contract.lone_server ranking|gateway`: prints its address, and serves until its standard input ends.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from services.kafka.publisher import MemoryPublisher
from services.server.logging import configure_logging
from tests.contract import event_gateway, rank_server

ROOT = Path(__file__).resolve().parents[2]
KIB_PER_PAGE = os.sysconf("SC_PAGE_SIZE") // 1024


@dataclass(frozen=True)
class LoneServer:
    """The process as its operator sees it.

    Args:
        pid: of the process.
        address: where it serves.
        log: the file of its log.
    """

    pid: int
    address: str
    log: Path

    @property
    def memory_mib(self) -> float:
        """Resident memory."""
        return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * KIB_PER_PAGE / 1024

    @property
    def threads(self) -> int:
        """Number of live threads."""
        return len(list(Path(f"/proc/{self.pid}/task").iterdir()))

    @property
    def descriptors(self) -> int:
        """Open files and connections."""
        return len(list(Path(f"/proc/{self.pid}/fd").iterdir()))


@contextmanager
def lone_server(kind: str, directory: Path) -> Iterator[LoneServer]:
    """Run the server in a process of its own."""
    command = [sys.executable, "-m", "tests.contract.lone_server", kind]
    # With an arena for each thread, memory grows slowly for a long time before it is flat.
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'proto' / 'gen'}", "MALLOC_ARENA_MAX": "1"}
    log = directory / f"{kind}.log"
    with (
        log.open("w") as errors,
        subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        ) as process,
    ):
        assert process.stdout
        yield LoneServer(process.pid, process.stdout.readline().strip(), log)
        # Leaving closes the standard input, which ends the process, and waits for it.


def main(kind: str) -> None:
    """Serve."""
    configure_logging()
    if kind == "ranking":
        model = rank_server.WideModel()
        with rank_server.running(rank_server.filled_store(), model, user_rows_max_age_s=60.0) as ranking:
            _serve(ranking.built.address)
    else:
        with event_gateway.running(MemoryPublisher()) as gateway:
            _serve(gateway.built.address)


def _serve(address: str) -> None:
    print(address, flush=True)  # noqa: T201 - for the test
    sys.stdin.read()


if __name__ == "__main__":
    main(sys.argv[1])
