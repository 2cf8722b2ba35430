"""Protected servers of a test: their files, the tokens that they accept, and both servers running with these."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc

from services.kafka.publisher import MemoryPublisher
from services.server.security.caller import Scope
from services.server.security.protection import open_protection
from services.server.security.tokens import new_token
from services.settings.security import SecuritySettings
from tests.contract import event_gateway, rank_server
from tests.contract.certificates import Authority
from tests.unit.server.security.signing import AUDIENCE, ISSUER, write_keys

PLAIN, TLS, MUTUAL, NO_CERTIFICATE = "plain", "TLS", "mutual TLS", "mutual TLS without certificate"
TRANSPORTS = (PLAIN, TLS, MUTUAL, NO_CERTIFICATE)
AUTHORITY = Authority()
CLIENT = AUTHORITY.sign("client")
PAST = datetime(2020, 1, 1, tzinfo=UTC)


def listed(path: Path, **scopes: frozenset[Scope] | tuple[frozenset[Scope], datetime]) -> dict[str, str]:
    """Write a file with a token of each name; returns the tokens."""
    made = {name: new_token(name, *(of if isinstance(of, tuple) else (of,))) for name, of in scopes.items()}
    path.write_text("".join(f"{line}\n" for _, line in made.values()))
    return {name: token for name, (token, _) in made.items()}


def settings(folder: Path, transport: str = PLAIN, **changes: Any) -> SecuritySettings:
    """With the folder's `tokens` and `jwks.json`, and its certificates where the transport has some."""
    files: dict[str, Any] = {"tokens_file": folder / "tokens", "jwks_file": write_keys(folder / "jwks.json")}
    if transport != PLAIN:
        files["certificate_file"], files["key_file"] = AUTHORITY.sign("server").write(folder, "server")
    if transport in (MUTUAL, NO_CERTIFICATE):
        (folder / "client-ca.pem").write_bytes(AUTHORITY.pem)
        files |= {"client_ca_file": folder / "client-ca.pem", "require_client_certificate": True}
    return SecuritySettings(**{**files, "jwt_issuer": ISSUER, "jwt_audience": AUDIENCE, "jwt_leeway_s": 0, **changes})


@dataclass(frozen=True)
class Servers:
    """Both servers, and a channel of the given transport to each.

    Args:
        gateway: the event gateway.
        ranking: the ranking server.
        to_gateway: a channel.
        to_ranking: a channel.
    """

    gateway: event_gateway.Gateway
    ranking: rank_server.RankServer
    to_gateway: grpc.Channel
    to_ranking: grpc.Channel

    @property
    def stored(self) -> int:
        """Records that the gateway has stored."""
        return len(self.gateway.publisher.stored)


@contextmanager
def running(security: SecuritySettings, transport: str = PLAIN) -> Iterator[Servers]:
    """Both servers, each with a protection of its own, as processes have; changes of files are detected immediately."""
    with (
        event_gateway.running(MemoryPublisher(), protection=open_protection(security, check_interval_s=0.0)) as gateway,
        rank_server.running(
            rank_server.filled_store(), protection=open_protection(security, check_interval_s=0.0)
        ) as ranking,
        channel(gateway.built.address, transport) as to_gateway,
        channel(ranking.built.address, transport) as to_ranking,
    ):
        yield Servers(gateway, ranking, to_gateway, to_ranking)


def channel(address: str, transport: str) -> grpc.Channel:
    """A channel with a connection of its own."""
    options = [("grpc.use_local_subchannel_pool", 1)]
    if transport == PLAIN:
        return grpc.insecure_channel(address, options)
    own = (CLIENT.key, CLIENT.certificate) if transport == MUTUAL else (None, None)
    return grpc.secure_channel(address, grpc.ssl_channel_credentials(AUTHORITY.pem, *own), options)


def bearer(token: str | None) -> tuple[tuple[str, str], ...]:
    """The metadata of a call."""
    return () if token is None else (("authorization", f"Bearer {token}"),)
