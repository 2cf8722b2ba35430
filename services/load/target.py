"""The server that is called, and how: address, TLS, token, deadline, retries, from command-line options to channels.

Knows files and channels; knows nothing of requests.
"""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import grpc.aio

from services.client.channel import Tls, check_ports, open_async_channel
from services.client.service_config import RANK_RETRIES, RANKING_SERVICE
from services.errors import ConfigurationError

RANK = f"/{RANKING_SERVICE}/Rank"
RETRY_CONFIG = {"methodConfig": [{"name": [{"service": RANKING_SERVICE}], "retryPolicy": RANK_RETRIES}]}
"""Service config of `--retry`: the retries of services.client; a server's own delay replaces the backoff."""

KEY = re.compile(r"[a-z0-9_.-]+")


@dataclass(frozen=True)
class Target:
    """A gRPC server and how to call it.

    Args:
        address: host:port.
        channels: HTTP/2 connections that each client process opens; requests use them in turn.
        deadline_s: per request, from sending.
        tls: TLS; None: plaintext.
        metadata: sent with every request, a token among it.
        retry: retry by RETRY_CONFIG; otherwise nothing is sent twice.
    """

    address: str
    channels: int = 4
    deadline_s: float = 2.0
    tls: Tls | None = None
    metadata: Sequence[tuple[str, str]] = ()
    retry: bool = False

    def __post_init__(self) -> None:
        """Raise ConfigurationError for an address with an impossible port."""
        try:
            check_ports(self.address)
        except ValueError as error:
            raise ConfigurationError(f"{self.address}: {error}; expected host:port") from None


def open_channels(target: Target) -> list[grpc.aio.Channel]:
    """Channels with a connection of their own each, opened when they are first used. In an event loop only."""
    options: list[tuple[str, Any]] = [("grpc.enable_retries", int(target.retry))]
    if target.retry:
        options.append(("grpc.service_config", json.dumps(RETRY_CONFIG)))
    return [open_async_channel(target.address, target.tls, options) for _ in range(target.channels)]


def read_tls(tls: bool, ca: Path | None, certificate: Path | None, key: Path | None, server_name: str) -> Tls | None:
    """TLS from the options; None: plaintext. ConfigurationError names the wrong option."""
    if (certificate is None) != (key is None):
        raise ConfigurationError("--tls-cert and --tls-key go together")
    if not (tls or ca or certificate):
        if server_name:
            raise ConfigurationError("--tls-server-name: needs --tls or --tls-ca")
        return None
    return Tls(
        _read_pem("--tls-ca", ca), _read_pem("--tls-cert", certificate), _read_pem("--tls-key", key), server_name
    )


def read_metadata(
    token_file: Path | None, pairs: Iterable[str] = (), option: str = "--token-file"
) -> Sequence[tuple[str, str]]:
    """Metadata of every request. ConfigurationError names the wrong option and never holds a token."""
    metadata = [_parse_pair(pair) for pair in pairs]
    if token_file:
        metadata.append(("authorization", f"Bearer {read_token(option, token_file)}"))
    return metadata


def read_token(option: str, path: Path) -> str:
    """The bearer token in a file. ConfigurationError names the option and never holds the token."""
    token = _read(option, path).decode("ascii", errors="replace").strip()
    if not _is_sendable(token) or " " in token:
        raise ConfigurationError(f"{option}: {path} does not hold one token of printable ASCII")
    return token


def _parse_pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    key = name.strip().lower()
    if not equals or not KEY.fullmatch(key) or key.startswith("grpc-") or key.endswith("-bin"):
        problem = "is not a key for a text value: write key=value; keys neither start with grpc- nor end with -bin"
        raise ConfigurationError(f"--metadata: {name!r} {problem}")
    if not _is_sendable(value):
        raise ConfigurationError(f"--metadata: the value of {key} is empty or not printable ASCII")
    return key, value


def _is_sendable(value: str) -> bool:
    return bool(value) and value.isascii() and value.isprintable()


def _read_pem(option: str, path: Path | None) -> bytes | None:
    if path is None:
        return None
    content = _read(option, path)
    if b"-----BEGIN " not in content:
        raise ConfigurationError(f"{option}: {path} is not a PEM file")
    return content


def _read(option: str, path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{option}: cannot read {path}: {error.strerror}") from error
