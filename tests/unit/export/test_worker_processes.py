"""Workers of a command that is stopped."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.waiting import wait_until

PARENT = """
import os, time
from export.worker_processes import open_pool

if __name__ == "__main__":
    with open_pool(2) as pool:
        pids = [pool.submit(os.getpid) for _ in range(2)]
        print(*{future.result() for future in pids}, flush=True)
        list(pool.map(time.sleep, [600, 600]))
"""


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"


def test_workers_end_with_the_process_that_started_them(tmp_path: Path) -> None:
    """SIGTERM to that one alone leaves none behind, and nothing is written about it."""
    script = tmp_path / "pool.py"
    script.write_text(PARENT)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with subprocess.Popen(
        [sys.executable, str(script)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as parent:
        assert parent.stdout and parent.stderr
        workers = [int(pid) for pid in parent.stdout.readline().split()]
        assert workers
        parent.send_signal(signal.SIGTERM)
        parent.wait()
        wait_until(lambda: not any(map(is_running, workers)))
        assert "Traceback" not in parent.stderr.read()
