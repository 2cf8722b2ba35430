"""Files and directories with personal data."""

import os
from pathlib import Path

import pytest

from export.datasets.storage import write_dataset
from services.infra import commands
from services.infra.commands import InfraConfig, up
from services.settings.private_files import make_private_directory, write_private_text
from tests.unit.export.datasets.test_tables import dataset


def rights(path: Path) -> int:
    return path.stat().st_mode & 0o777


@pytest.fixture(autouse=True)
def open_mask() -> object:
    """The umask of a shell that lets everybody read."""
    before = os.umask(0o022)
    yield
    os.umask(before)


def test_a_private_directory_is_for_its_user_alone(tmp_path: Path) -> None:
    """Its parents are not: the registry that servers read is beside it."""
    make_private_directory(tmp_path / "data" / "mine")
    assert (0o755, 0o700) == (rights(tmp_path / "data"), rights(tmp_path / "data" / "mine"))
    make_private_directory(tmp_path / "data")
    assert 0o755 == rights(tmp_path / "data")


def test_a_private_file_is_for_its_user_alone(tmp_path: Path) -> None:
    """Also where a file with more rights is replaced."""
    path = tmp_path / "deep" / "requests.jsonl"
    for text in ("first, longer", "café"):
        write_private_text(path, text)
        assert (0o600, text) == (rights(path), path.read_text(encoding="utf-8"))
        path.chmod(0o644)


@pytest.mark.parametrize("exists", [False, True])
def test_an_imported_data_set_is_private(tmp_path: Path, *, exists: bool) -> None:
    out = tmp_path / "mine"
    if exists:
        out.mkdir()
    write_dataset(dataset(), out, {})
    assert (0o755 if exists else 0o700) == rights(out)
    assert {0o600} == {rights(path) for path in out.iterdir()}


def test_the_data_of_the_embedded_servers_is_private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(_: object) -> None:
        raise InterruptedError

    monkeypatch.setattr(commands, "_servers", stop)
    with pytest.raises(InterruptedError):
        up(InfraConfig(tmp_path / "infra"))
    assert 0o700 == rights(tmp_path / "infra")
