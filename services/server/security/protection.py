"""What the settings say of security, as a server takes it; wires the parts of this package."""

import logging
from dataclasses import dataclass
from pathlib import Path

import grpc

from services.errors import ConfigurationError
from services.server.logging import log_event
from services.server.security.access import AccessInterceptor
from services.server.security.certificates import server_credentials
from services.server.security.in_flight import InFlightInterceptor
from services.server.security.jwts import Keys, Rules, parse_keys
from services.server.security.tokens import Tokens, parse_tokens
from services.server.security.verifier import Signers, Verifier
from services.server.security.watched_files import LOOK_S, Watched
from services.settings.section import read_file
from services.settings.security import SecuritySettings

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Protection:
    """How a server is protected; by default not at all.

    Args:
        credentials: what its port is secured with; None: no TLS.
        interceptors: who may call what; to come right after the one that answers errors.
        reflection: whether it is served.
        max_streams: calls at once on one connection.
        tls: none, server or mutual; for the log.
        access: open, or by tokens; for the log.
    """

    credentials: grpc.ServerCredentials | None = None
    interceptors: tuple[grpc.ServerInterceptor, ...] = ()
    reflection: bool = True
    max_streams: int = 1000
    tls: str = "none"
    access: str = "open"

    def bind(self, server: grpc.Server, listen: str) -> int:
        """Have the server listen at host:port, and say how; returns the port. RuntimeError if it is taken."""
        # Whoever can reach an open port may do everything; and tokens without TLS can be read on their way.
        level = logging.WARNING if self.access == "open" or self.tls == "none" else logging.INFO
        log_event(
            _logger, "server_protection", level=level, tls=self.tls, access=self.access, reflection=self.reflection
        )
        if self.credentials is None:
            return server.add_insecure_port(listen)
        return server.add_secure_port(listen, self.credentials)


UNPROTECTED = Protection()


def open_protection(security: SecuritySettings, look_s: float = LOOK_S) -> Protection:
    """Read the files of the settings, and keep an eye on them.

    Raises ConfigurationError naming the setting whose file cannot be used.

    Args:
        security: the settings.
        look_s: seconds until a change of tokens or keys is noticed.
    """
    interceptors: list[grpc.ServerInterceptor] = []
    if security.needs_tokens:
        interceptors.append(AccessInterceptor(_verifier(security, look_s)))
    if security.max_in_flight_per_client:
        interceptors.append(InFlightInterceptor(security.max_in_flight_per_client))
    return Protection(
        credentials=server_credentials(security),
        interceptors=tuple(interceptors),
        reflection=security.reflection,
        max_streams=security.max_streams_per_connection,
        tls="none" if not security.certificate_file else "mutual" if security.require_client_certificate else "server",
        access="tokens" if security.needs_tokens else "open",
    )


def _verifier(security: SecuritySettings, look_s: float) -> Verifier:
    tokens: Watched[Tokens] | None = None
    signers = None
    if path := security.tokens_file:
        tokens = Watched("tokens", [path], lambda: parse_tokens(_text("security.tokens_file", path)), look_s)
    if keys_path := security.jwks_file:
        rules = Rules(security.jwt_issuer, security.jwt_audience, security.jwt_leeway_s)
        keys: Watched[Keys] = Watched(
            "jwks", [keys_path], lambda: parse_keys(_text("security.jwks_file", keys_path)), look_s
        )
        signers = Signers(keys, rules)
    return Verifier(tokens, signers)


def _text(setting: str, path: Path) -> str:
    try:
        return read_file(setting, path).decode()
    except UnicodeDecodeError:
        raise ConfigurationError(f"{setting}: is no UTF-8 text") from None
