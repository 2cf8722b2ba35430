"""The server under load and how to reach it: channels, TLS, tokens, deadline, retries. Knows nothing of requests."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import grpc
import grpc.aio

from services.client.policy import RANK_RETRIES, RANKING_SERVICE, RECONNECT

RANK = f"/{RANKING_SERVICE}/Rank"
RETRIES = {"methodConfig": [{"name": [{"service": RANKING_SERVICE}], "retryPolicy": RANK_RETRIES}]}
"""Service config of `--retry`, as services.client tries again; a server's own delay comes before the backoff."""


@dataclass(frozen=True)
class Tls:
    """Certificates, each the content of a PEM file.

    Args:
        ca: who signed the server's certificate; None: whom gRPC trusts by default.
        certificate: the client's own, with its key: mutual TLS.
        key: see `certificate`.
        server_name: name in the server's certificate where it is not the address's host; empty: it is.
    """

    ca: bytes | None = None
    certificate: bytes | None = None
    key: bytes | None = None
    server_name: str = ""


@dataclass(frozen=True)
class Target:
    """A ranking server.

    Args:
        address: host:port.
        channels: HTTP/2 connections that each client process opens; requests take turns.
        deadline_s: per request, from sending.
        tls: how to encrypt; None: not at all.
        metadata: sent with every request, a token among them.
        retry: follow RETRIES; otherwise nothing is sent twice.
    """

    address: str
    channels: int = 4
    deadline_s: float = 2.0
    tls: Tls | None = None
    metadata: Sequence[tuple[str, str]] = ()
    retry: bool = False


def open_channels(target: Target) -> list[grpc.aio.Channel]:
    """Channels with a connection of their own each, opened when they are first used. In an event loop only."""
    options = _options(target)
    if target.tls is None:
        return [grpc.aio.insecure_channel(target.address, options) for _ in range(target.channels)]
    tls = target.tls
    credentials = grpc.ssl_channel_credentials(tls.ca, tls.key, tls.certificate)
    return [grpc.aio.secure_channel(target.address, credentials, options) for _ in range(target.channels)]


def _options(target: Target) -> list[tuple[str, Any]]:
    options: list[tuple[str, Any]] = [
        *RECONNECT,
        ("grpc.use_local_subchannel_pool", 1),  # equal channels would share one connection
        ("grpc.max_receive_message_length", -1),
        ("grpc.enable_retries", int(target.retry)),
    ]
    if target.retry:
        options.append(("grpc.service_config", json.dumps(RETRIES)))
    if target.tls and target.tls.server_name:
        options.append(("grpc.ssl_target_name_override", target.tls.server_name))
    return options
