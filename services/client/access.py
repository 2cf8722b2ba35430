"""How a server is reached: its address, TLS, a token, options of the channel. Opens channels; calls nothing."""

import ipaddress
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import grpc.aio

from .policy import RECONNECT

Token = str | Callable[[], str]
"""A bearer token, or what gives the one that holds now: it is asked before every call and must not take long."""

Metadata = tuple[tuple[str, str], ...]

OPTIONS: tuple[tuple[str, Any], ...] = (
    # A peer that vanished without a word is noticed within these two together, while calls are open.
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    *RECONNECT,
    # Channels to one server have connections of their own: workers that share a port each get some.
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.max_receive_message_length", -1),
)


def tls(
    ca: str | Path | None = None, certificate: str | Path | None = None, key: str | Path | None = None
) -> grpc.ChannelCredentials:
    """Credentials from PEM files. Raises OSError where one cannot be read.

    Args:
        ca: who signs servers' certificates; None: whom gRPC trusts by default.
        certificate: the client's own, for mutual TLS; needs `key`.
        key: of `certificate`.
    """
    if (certificate is None) != (key is None):
        raise ValueError("certificate and key go together")
    return grpc.ssl_channel_credentials(_content(ca), _content(key), _content(certificate))


def _content(path: str | Path | None) -> bytes | None:
    return None if path is None else Path(path).read_bytes()


@dataclass(frozen=True)
class Access:
    """The way to a server.

    Args:
        target: host:port, or any other name that gRPC resolves, like `dns:///ranking:50051`.
        credentials: of the channel, see `tls`; None: plaintext.
        token: sent with every call. ValueError where it would travel in the clear to another machine.
        metadata: more to send with every call.
    """

    target: str
    credentials: grpc.ChannelCredentials | None = None
    token: Token | None = None
    metadata: Sequence[tuple[str, str]] = ()

    def __post_init__(self) -> None:
        if self.token is not None and self.credentials is None and not is_loopback(self.target):
            raise ValueError(f"token: would go in the clear to {self.target}, give credentials")

    def open(self, service_config: str) -> grpc.Channel:
        """A channel, which connects when it is first used."""
        options, credentials = self._options(service_config), self._credentials()
        if credentials is None:
            return grpc.insecure_channel(self.target, options)
        return grpc.secure_channel(self.target, credentials, options)

    def open_async(self, service_config: str) -> grpc.aio.Channel:
        """The same for asyncio; in a running event loop only."""
        options, credentials = self._options(service_config), self._credentials()
        if credentials is None:
            return grpc.aio.insecure_channel(self.target, options)
        return grpc.aio.secure_channel(self.target, credentials, options)

    def call_metadata(self) -> Metadata:
        """What goes with a call, the token among it where the channel has no credentials to carry it."""
        if self.token is None or self.credentials is not None:
            return tuple(self.metadata)
        return (*self.metadata, _authorization(self.token))

    def _options(self, service_config: str) -> list[tuple[str, Any]]:
        return [*OPTIONS, ("grpc.service_config", service_config)]

    def _credentials(self) -> grpc.ChannelCredentials | None:
        if self.credentials is None or self.token is None:
            return self.credentials
        bearer = grpc.metadata_call_credentials(_Bearer(self.token), "bearer")
        return grpc.composite_channel_credentials(self.credentials, bearer)


class _Bearer(grpc.AuthMetadataPlugin):
    """Gives every call its token."""

    def __init__(self, token: Token) -> None:
        self._token = token

    def __call__(self, _context: grpc.AuthMetadataContext, callback: grpc.AuthMetadataPluginCallback) -> None:
        """Called by gRPC; what this raises fails the call."""
        callback((_authorization(self._token),), None)


def _authorization(token: Token) -> tuple[str, str]:
    return "authorization", f"Bearer {token if isinstance(token, str) else token()}"


def is_loopback(target: str) -> bool:
    """Whether every address of a target is surely on this machine; a name other than localhost is not."""
    scheme, _, rest = target.partition(":")
    if scheme in {"unix", "unix-abstract"}:
        return True
    addresses = rest.lstrip("/") if scheme in {"dns", "ipv4", "ipv6"} else target
    return all(_is_local(address.rpartition(":")[0].strip("[]")) for address in addresses.split(","))


def _is_local(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
