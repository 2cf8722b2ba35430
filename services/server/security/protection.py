"""TLS, access control and limits of a gRPC server, built from the security settings."""

import logging
from dataclasses import dataclass
from pathlib import Path

import grpc

from services.errors import ConfigurationError
from services.server.logging import log_event
from services.server.security.access import AccessInterceptor
from services.server.security.certificate_callers import (
    SETTING,
    CertificateCallers,
    CertificateVerifier,
    parse_certificate_callers,
)
from services.server.security.certificates import server_credentials
from services.server.security.in_flight import InFlightInterceptor
from services.server.security.jwts import JwtKeys, JwtRules, parse_keys
from services.server.security.tokens import Tokens, parse_tokens
from services.server.security.verifier import JwtSigners, TokenVerifier
from services.server.security.watched_files import CHECK_INTERVAL_S, WatchedFiles
from services.settings.section import read_file
from services.settings.security import SecuritySettings

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Protection:
    """The protection of a server; by default none.

    Args:
        credentials: TLS of its port; None: no TLS.
        interceptors: access control and limits; they come right after the error interceptor.
        reflection: whether reflection is served.
        max_streams: calls at once on one connection.
        message_timeout_s: seconds in which the message of a call must arrive.
        tls: none, server or mutual; for the log.
        access: open, or by tokens, certificates or both; for the log.
    """

    credentials: grpc.ServerCredentials | None = None
    interceptors: tuple[grpc.ServerInterceptor, ...] = ()
    reflection: bool = True
    max_streams: int = 100
    message_timeout_s: float = 5.0
    tls: str = "none"
    access: str = "open"

    def bind(self, server: grpc.Server, listen: str) -> int:
        """Bind the server to host:port and log its protection; returns the port. RuntimeError if it is taken."""
        # An open port permits everything to all who reach it, and tokens without TLS can be read in transit.
        level = logging.WARNING if self.access == "open" or self.tls == "none" else logging.INFO
        log_event(
            _logger, "server_protection", level=level, tls=self.tls, access=self.access, reflection=self.reflection
        )
        if self.credentials is None:
            return server.add_insecure_port(listen)
        return server.add_secure_port(listen, self.credentials)


UNPROTECTED = Protection()


def open_protection(security: SecuritySettings, check_interval_s: float = CHECK_INTERVAL_S) -> Protection:
    """Read the files of the settings, and watch them for changes.

    Raises ConfigurationError naming the setting whose file cannot be used.

    Args:
        security: the settings.
        check_interval_s: seconds until a change of tokens or keys is noticed.
    """
    interceptors: list[grpc.ServerInterceptor] = []
    if security.needs_access:
        verifier = _verifier(security, check_interval_s) if security.needs_tokens else None
        interceptors.append(AccessInterceptor(verifier, _certificates(security, check_interval_s)))
    if security.max_in_flight_per_client:
        interceptors.append(InFlightInterceptor(security.max_in_flight_per_client))
    ways = {"tokens": security.needs_tokens, "certificates": security.certificate_scopes_file}
    return Protection(
        credentials=server_credentials(security),
        interceptors=tuple(interceptors),
        reflection=security.reflection,
        max_streams=security.max_streams_per_connection,
        message_timeout_s=security.message_timeout_s,
        tls="none" if not security.certificate_file else "mutual" if security.require_client_certificate else "server",
        access=" and ".join(what for what, needed in ways.items() if needed) or "open",
    )


def _verifier(security: SecuritySettings, check_interval_s: float) -> TokenVerifier:
    tokens: WatchedFiles[Tokens] | None = None
    signers = None
    if path := security.tokens_file:
        tokens = WatchedFiles(
            "tokens", [path], lambda: parse_tokens(_text("security.tokens_file", path)), check_interval_s
        )
    if keys_path := security.jwks_file:
        rules = JwtRules(security.jwt_issuer, security.jwt_audience, security.jwt_leeway_s)
        keys: WatchedFiles[JwtKeys] = WatchedFiles(
            "jwks", [keys_path], lambda: parse_keys(_text("security.jwks_file", keys_path)), check_interval_s
        )
        signers = JwtSigners(keys, rules)
    return TokenVerifier(tokens, signers)


def _certificates(security: SecuritySettings, check_interval_s: float) -> CertificateVerifier | None:
    path = security.certificate_scopes_file
    if path is None:
        return None
    callers: WatchedFiles[CertificateCallers] = WatchedFiles(
        "certificate_scopes", [path], lambda: parse_certificate_callers(_text(SETTING, path)), check_interval_s
    )
    return CertificateVerifier(callers)


def _text(setting: str, path: Path) -> str:
    try:
        return read_file(setting, path).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ConfigurationError(f"{setting}: is not UTF-8 text") from None
