"""Opens gRPC channels: address, TLS, bearer token and channel options. The one place that does; calls nothing.

`ConnectionSettings` opens those of the clients; the load client, the console and `crossrec health` use `open_channel`
and `open_async_channel` as they are.
"""

import ipaddress
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import grpc
import grpc.aio

Token = str | Callable[[], str]
"""A bearer token, or a function that returns the current one: it is called before every call and must not block."""

Metadata = tuple[tuple[str, str], ...]

Options = Sequence[tuple[str, Any]]

RECONNECT = (
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2_000),
)
"""Reconnect soon after a server comes back. gRPC's own backoff between attempts grows from a second to two minutes."""

OPTIONS: Options = (
    *RECONNECT,
    # Every channel has connections of its own: workers that share a port get some each.
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.max_receive_message_length", -1),
)
"""Of every channel."""

KEEPALIVE: Options = (
    # While calls are open, a peer that vanished is detected within the sum of the two.
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 10_000),
)


MAX_PORT = 65535


@dataclass(frozen=True)
class Tls:
    """TLS of a client. Holds the content of PEM files, so it can be sent to other processes, unlike gRPC's credentials.

    Args:
        ca: certificate authorities of servers; None: gRPC's default ones.
        certificate: the client's own certificate, for mutual TLS; needs `key`.
        key: private key of `certificate`.
        server_name: name in the server's certificate where it is not the host of the address; empty: it is.
    """

    ca: bytes | None = None
    certificate: bytes | None = None
    key: bytes | None = None
    server_name: str = ""

    @classmethod
    def from_files(
        cls,
        ca: str | Path | None = None,
        certificate: str | Path | None = None,
        key: str | Path | None = None,
        server_name: str = "",
    ) -> Self:
        """Read PEM files. Raises OSError for one that cannot be read, ValueError for a certificate without key."""
        if (certificate is None) != (key is None):
            raise ValueError("certificate and key go together")
        return cls(_read(ca), _read(certificate), _read(key), server_name)

    def credentials(self) -> grpc.ChannelCredentials:
        """The credentials of a channel."""
        return grpc.ssl_channel_credentials(self.ca, self.key, self.certificate)

    def options(self) -> Options:
        """The channel options that the credentials need."""
        return [("grpc.ssl_target_name_override", self.server_name)] if self.server_name else []


def tls(
    ca: str | Path | None = None, certificate: str | Path | None = None, key: str | Path | None = None
) -> grpc.ChannelCredentials:
    """Credentials from PEM files. Raises OSError for one that cannot be read.

    Args:
        ca: certificate authorities of servers; None: gRPC's default ones.
        certificate: the client's own certificate, for mutual TLS; needs `key`.
        key: private key of `certificate`.
    """
    return Tls.from_files(ca, certificate, key).credentials()


def check_ports(target: str) -> None:
    """Raise ValueError for a port beyond 65535: gRPC takes it modulo 65536, and so calls another server."""
    for address in target.split(","):
        port = address.rpartition(":")[2]
        if port.isascii() and port.isdecimal() and (len(port) > 5 or int(port) > MAX_PORT):
            raise ValueError(f"port {port[:20]} is not between 0 and {MAX_PORT}")


def open_channel(
    target: str, credentials: grpc.ChannelCredentials | Tls | None = None, options: Options = ()
) -> grpc.Channel:
    """A channel, which connects when it is first used.

    Args:
        target: host:port, or any other name that gRPC resolves.
        credentials: TLS; None: plaintext.
        options: besides OPTIONS.
    """
    check_ports(target)
    resolved, every = _resolve(credentials, options)
    return grpc.secure_channel(target, resolved, every) if resolved else grpc.insecure_channel(target, every)


def open_async_channel(
    target: str, credentials: grpc.ChannelCredentials | Tls | None = None, options: Options = ()
) -> grpc.aio.Channel:
    """`open_channel` for asyncio; in a running event loop only."""
    check_ports(target)
    resolved, every = _resolve(credentials, options)
    return grpc.aio.secure_channel(target, resolved, every) if resolved else grpc.aio.insecure_channel(target, every)


def _resolve(
    credentials: grpc.ChannelCredentials | Tls | None, options: Options
) -> tuple[grpc.ChannelCredentials | None, list[tuple[str, Any]]]:
    if isinstance(credentials, Tls):
        return credentials.credentials(), [*OPTIONS, *options, *credentials.options()]
    return credentials, [*OPTIONS, *options]


def _read(path: str | Path | None) -> bytes | None:
    return None if path is None else Path(path).read_bytes()


@dataclass(frozen=True)
class ConnectionSettings:
    """How a client reaches its server.

    Args:
        target: host:port, or any other name that gRPC resolves, like `dns:///ranking:50051`.
        credentials: of the channel, see `tls`; None: plaintext.
        token: sent with every call. ValueError if it would be sent unencrypted to another machine.
        metadata: sent with every call, too.
    """

    target: str
    credentials: grpc.ChannelCredentials | None = None
    token: Token | None = None
    metadata: Sequence[tuple[str, str]] = ()

    def __post_init__(self) -> None:
        check_ports(self.target)
        if self.token is not None and self.credentials is None and not is_loopback(self.target):
            raise ValueError(f"token: would be sent unencrypted to {self.target}, give credentials")

    def open(self, service_config: str) -> grpc.Channel:
        """A channel, which connects when it is first used."""
        return open_channel(self.target, self._credentials(), self._options(service_config))

    def open_async(self, service_config: str) -> grpc.aio.Channel:
        """A channel for asyncio; in a running event loop only."""
        return open_async_channel(self.target, self._credentials(), self._options(service_config))

    def call_metadata(self) -> Metadata:
        """The metadata of a call; includes the token if the channel has no credentials to carry it."""
        if self.token is None or self.credentials is not None:
            return tuple(self.metadata)
        return (*self.metadata, _authorization(self.token))

    def _options(self, service_config: str) -> Options:
        return [*KEEPALIVE, ("grpc.service_config", service_config)]

    def _credentials(self) -> grpc.ChannelCredentials | None:
        if self.credentials is None or self.token is None:
            return self.credentials
        bearer = grpc.metadata_call_credentials(_Bearer(self.token), "bearer")
        return grpc.composite_channel_credentials(self.credentials, bearer)


class _Bearer(grpc.AuthMetadataPlugin):
    """Adds the token to every call."""

    def __init__(self, token: Token) -> None:
        self._token = token

    def __call__(self, _context: grpc.AuthMetadataContext, callback: grpc.AuthMetadataPluginCallback) -> None:
        """Called by gRPC; an error raised here fails the call."""
        callback((_authorization(self._token),), None)


def _authorization(token: Token) -> tuple[str, str]:
    return "authorization", f"Bearer {token if isinstance(token, str) else token()}"


def is_loopback(target: str) -> bool:
    """Whether every address of a target is certainly on this machine; of names, only localhost is."""
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
