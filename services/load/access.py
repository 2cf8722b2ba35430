"""From options to a target: certificates, a token and metadata, read and checked. Knows files; opens no connection."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from services.errors import ConfigurationError
from services.load.target import Tls

KEY = re.compile(r"[a-z0-9_.-]+")


def read_tls(tls: bool, ca: Path | None, certificate: Path | None, key: Path | None, server_name: str) -> Tls | None:
    """How to encrypt, None for not at all; ConfigurationError names the option that is wrong."""
    if (certificate is None) != (key is None):
        raise ConfigurationError("--tls-cert and --tls-key go together")
    if not (tls or ca or certificate):
        if server_name:
            raise ConfigurationError("--tls-server-name: needs --tls or --tls-ca")
        return None
    return Tls(_pem("--tls-ca", ca), _pem("--tls-cert", certificate), _pem("--tls-key", key), server_name)


def read_metadata(
    token_file: Path | None, pairs: Iterable[str] = (), option: str = "--token-file"
) -> Sequence[tuple[str, str]]:
    """Metadata of every request; ConfigurationError names the option, and never shows a token."""
    found = [_pair(pair) for pair in pairs]
    if token_file:
        found.append(("authorization", f"Bearer {read_token(option, token_file)}"))
    return found


def read_token(option: str, path: Path) -> str:
    """The one token that a file holds; ConfigurationError likewise."""
    token = _read(option, path).decode("ascii", errors="replace").strip()
    if not _sendable(token) or " " in token:
        raise ConfigurationError(f"{option}: {path} does not hold one token of printable ASCII")
    return token


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    key = name.strip().lower()
    if not equals or not KEY.fullmatch(key) or key.startswith("grpc-") or key.endswith("-bin"):
        raise ConfigurationError(
            f"--metadata: {name!r} is no key for a text value; write key=value, without grpc- in front and -bin behind"
        )
    if not _sendable(value):
        raise ConfigurationError(f"--metadata: the value of {key} is empty or not printable ASCII")
    return key, value


def _sendable(value: str) -> bool:
    return bool(value) and value.isascii() and value.isprintable()


def _pem(option: str, path: Path | None) -> bytes | None:
    if path is None:
        return None
    content = _read(option, path)
    if b"-----BEGIN " not in content:
        raise ConfigurationError(f"{option}: {path} is no PEM file")
    return content


def _read(option: str, path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{option}: cannot read {path}: {error.strerror}") from error
