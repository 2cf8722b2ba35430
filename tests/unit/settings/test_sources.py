"""The settings file, as people have it."""

from pathlib import Path

import pytest

from services.errors import ConfigurationError
from services.settings.load import load_settings
from services.settings.sources import read_settings_file

TEXT = '[kafka]\npartitions = 8\ntopic_prefix = "café"\n'


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "crossrec.toml"
    monkeypatch.setenv("CROSSREC_CONFIG", str(path))
    return path


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_a_byte_order_mark_is_skipped(file: Path, encoding: str) -> None:
    file.write_text(TEXT, encoding)
    assert (8, "café") == (load_settings().kafka.partitions, load_settings().kafka.topic_prefix)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (TEXT.encode("latin-1"), "byte 0xe9 in line 3 is not UTF-8"),
        (TEXT.encode("utf-16"), "byte 0xff in line 1 is not UTF-8"),
        (b"[kafka\n", r"is not TOML: .*line 1"),
        (b"[kafka]\npartitions = \n", r"is not TOML: .*line 2"),
        (b"a = 1\na = 2\n", "is not TOML: .*overwrite"),
        (b"\x00" * 100, "is not TOML"),
        (b"a = " + b"[" * 100_000, "is not TOML: nested too deeply"),
        (b"a = " + b"9" * 5000, "is not TOML"),
        (b"\xff" * 10, "byte 0xff in line 1"),
    ],
)
def test_a_file_that_is_no_toml_is_named_with_the_place(file: Path, content: bytes, reason: str) -> None:
    file.write_bytes(content)
    with pytest.raises(ConfigurationError, match=f"^settings file {file}: {reason}") as caught:
        load_settings()
    assert "\n" not in str(caught.value)


def test_a_directory_is_no_settings_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=f"settings file {tmp_path}: Is a directory"):
        read_settings_file(tmp_path)


def test_a_wrong_value_is_shown_with_its_origin_if_it_is_a_number(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_text("[kafka]\npartitions = 0\n")
    with pytest.raises(ConfigurationError, match=rf"kafka.partitions: .*equal to 1, found 0 \(from {file}\)"):
        load_settings()
    monkeypatch.setenv("CROSSREC_KAFKA__PARTITIONS", "-3")
    with pytest.raises(ConfigurationError, match=r"found -3 \(from CROSSREC_KAFKA__PARTITIONS\)"):
        load_settings()


def test_a_misspelt_table_of_the_file_is_refused_with_the_nearest_name(file: Path) -> None:
    file.write_text('[securty]\ntokens_file = "x"\n')
    with pytest.raises(ConfigurationError, match="securty: no such setting; the nearest is security "):
        load_settings()


def test_variables_of_the_example_clients_are_no_tables(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their README sets CROSSREC_GATEWAY=host:port, in a shell where commands run, too."""
    file.write_text("")
    monkeypatch.setenv("CROSSREC_GATEWAY", "127.0.0.1:50051")
    assert "127.0.0.1:50051" == load_settings().gateway.listen
