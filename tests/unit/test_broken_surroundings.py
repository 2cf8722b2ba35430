"""Every command in surroundings that cannot work: one line that names what is wrong, before packages are loaded."""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from services import commands
from services.commands import COMMANDS
from services.main import main

READERS = [path for path, command in COMMANDS.items() if command.settings]

FILES: Mapping[str, bytes] = {
    "is not TOML": b"[kafka\n",
    "is not UTF-8": b'[kafka]\ntopic_prefix = "caf\xe9"\n',
    "partitions: Input should be": b"[kafka]\npartitions = 0\n",
    "the nearest is security": b"[securty]\n",
}

VARIABLES = {
    "CROSSREC_KAFAK__PARTITIONS": "8",
    "CROSSREC_SECURTY__TOKENS_FILE": "x",
    "CROSSREC_RANKING__PROVIDERS": "CPUExecutionProvider",
    "CROSSREC_GATEWAY__LISTEN": "127.0.0.1:99999",
    "CROSSREC_STORE__URL": "localhost",
    "CROSSREC_KAFKA__BOOTSTRAP_SERVERS": "kafka",
    "CROSSREC_CONFIG": "/nowhere/crossrec.toml",
}

Crossrec = Callable[..., tuple[int, str, str]]


@pytest.fixture
def crossrec(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Crossrec:
    """Runs a command; its exit status, standard output and standard error."""
    for name in VARIABLES:
        monkeypatch.setenv(name, "")  # so that what commands set is taken back
        monkeypatch.delenv(name)
    monkeypatch.setenv("GRPC_VERBOSITY", "NONE")

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["crossrec", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        printed = capsys.readouterr()
        return int(ended.value.code or 0), printed.out, printed.err

    return run


def refuse_to_load(_: object) -> None:
    raise AssertionError("the settings are judged first")


def assert_one_line(ended: tuple[int, str, str], *texts: str) -> None:
    code, _, error = ended
    assert 1 == code
    assert error.startswith("error: ")
    assert 1 == len(error.splitlines())
    for text in texts:
        assert text in error


@pytest.mark.parametrize("path", READERS)
def test_a_broken_settings_file_ends_every_command(
    path: str, crossrec: Crossrec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands, "load_command", refuse_to_load)
    file = tmp_path / "crossrec.toml"
    for reason, content in FILES.items():
        file.write_bytes(content)
        assert_one_line(crossrec("--config", str(file), *path.split()), str(file), reason)


@pytest.mark.parametrize("path", READERS)
def test_a_broken_variable_ends_every_command(path: str, crossrec: Crossrec, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "load_command", refuse_to_load)
    for name, value in VARIABLES.items():
        with monkeypatch.context() as patch:
            patch.setenv(name, value)
            assert_one_line(crossrec(*path.split()), name)


def test_help_and_commands_without_settings_work_in_any_surroundings(
    crossrec: Crossrec, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)
    assert 0 == crossrec("models", "list", "--help")[0]
    assert 0 == crossrec("tokens", "new", "--name", "shop", "--scope", "rank")[0]
    assert_one_line(crossrec("health", "127.0.0.1:1", "--timeout-s", "20"), "127.0.0.1:1: no answer")
