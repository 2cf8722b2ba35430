"""Certificates, tokens and metadata from files and options."""

from pathlib import Path

import pytest

from services.client.channel import Tls
from services.errors import ConfigurationError
from services.load.target import read_metadata, read_tls


def write_file(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_a_token_and_metadata_are_sent_with_every_request(tmp_path: Path) -> None:
    token = write_file(tmp_path / "token", "abc.def\n")
    assert [("x-team", "blue=1"), ("authorization", "Bearer abc.def")] == read_metadata(token, ["X-Team=blue=1"])


def test_without_options_nothing_is_encrypted() -> None:
    assert read_tls(False, None, None, None, "") is None
    assert Tls() == read_tls(True, None, None, None, "")


def test_an_invalid_token_is_rejected_by_its_option_and_not_shown(tmp_path: Path) -> None:
    token = write_file(tmp_path / "token", "secret secret")
    with pytest.raises(ConfigurationError, match="--token-file") as caught:
        read_metadata(token, [])
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("pair", ["nokey", "=value", "grpc-x=1", "k-bin=1", "a b=1", "k=", "k=\n"])
def test_metadata_that_cannot_be_sent_is_rejected(pair: str) -> None:
    with pytest.raises(ConfigurationError, match="--metadata"):
        read_metadata(None, [pair])


def test_invalid_certificate_files_are_rejected(tmp_path: Path) -> None:
    absent, text = tmp_path / "absent.pem", write_file(tmp_path / "text.pem", "no certificate")
    with pytest.raises(ConfigurationError, match="--tls-ca: cannot read"):
        read_tls(False, absent, None, None, "")
    with pytest.raises(ConfigurationError, match="is not a PEM file"):
        read_tls(False, text, None, None, "")
    with pytest.raises(ConfigurationError, match="--tls-cert and --tls-key"):
        read_tls(False, None, text, None, "")
    with pytest.raises(ConfigurationError, match="--tls-server-name"):
        read_tls(False, None, None, None, "ranking")
