"""Folders that one process at a time may use."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from export.harness import environment
from export.harness.environment import Environment, HarnessError
from services.infra.folder_lock import FolderInUse, hold
from tests.waiting import wait_until

HOLDER = """
import sys, time
from pathlib import Path
from services.infra.folder_lock import hold
with hold(Path(sys.argv[1]), Path("there"), "the first"):
    print("held", flush=True)
    time.sleep(600)
"""


def test_the_holder_of_a_folder_is_named(tmp_path: Path) -> None:
    """Process, purpose and begin; the lock ends with the block."""
    lock = tmp_path / "deep" / "lock"
    with hold(lock, tmp_path, "replay"):
        mine = rf"{tmp_path} is in use by process {os.getpid()} \(replay\) since 20\d\d-.*; wait until it ends"
        with pytest.raises(FolderInUse, match=mine), hold(lock, tmp_path, "another"):
            pass
    with hold(lock, tmp_path, "another"):
        pass
    assert "" == lock.read_text()


def test_a_lock_ends_with_its_process_however_it_ends(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(lock)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert b"held\n" == process.stdout.readline()
        with pytest.raises(FolderInUse, match=rf"process {process.pid} \(the first\)"), hold(lock, tmp_path, "second"):
            pass
        process.send_signal(signal.SIGKILL)
    with hold(lock, tmp_path, "second"):
        assert f"process {os.getpid()}" in lock.read_text()


def test_who_waits_reports_for_whom(tmp_path: Path) -> None:
    lock, reports, done = tmp_path / "lock", list[str](), threading.Event()

    def wait() -> None:
        with hold(lock, tmp_path, "second", reports.append):
            done.set()

    with hold(lock, tmp_path, "first"):
        thread = threading.Thread(target=wait)
        thread.start()
        wait_until(lambda: reports, what="the report")
        assert f"waiting for process {os.getpid()} (first)" in reports[0]
        assert not done.is_set()
    thread.join()
    assert done.is_set()


def refuse(*_: object) -> None:
    raise AssertionError("the servers of the first must stay")


def test_a_second_environment_leaves_the_first_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two demos in one folder: the second used to stop the first's servers and to delete its files."""
    out = tmp_path / "demo"
    (out / "infra").mkdir(parents=True)
    monkeypatch.setattr(environment, "down", refuse)
    with hold(tmp_path / ".demo.lock", out, "crossrec demo"):
        second = Environment(out, "completejourney")
        with pytest.raises(FolderInUse, match=rf"{out} is in use by process {os.getpid()} \(crossrec demo\)"), second:
            pass
    assert (out / "infra").is_dir()


def test_an_environment_deletes_only_what_one_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`crossrec demo --out ~` is refused."""
    monkeypatch.setattr(environment, "down", refuse)
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(HarnessError, match=f"{tmp_path} exists and was not made by this command"):
        Environment(tmp_path, "completejourney").__enter__()
    assert "dear" == (tmp_path / "letter.txt").read_text()
    with hold(tmp_path.with_name(f".{tmp_path.name}.lock"), tmp_path, "the lock was let go"):
        pass
