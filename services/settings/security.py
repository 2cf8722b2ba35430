"""Settings of access to the gRPC servers, of pseudonyms, and of traces."""

from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from services.settings.address import CollectorUrl
from services.settings.section import OptionalPath, SettingsSection


class SecuritySettings(SettingsSection):
    """TLS and access control of the gRPC servers. Files are read again when they change."""

    certificate_file: OptionalPath = Field(
        None, description="PEM file with the servers' certificate and its chain; not set: no TLS."
    )
    key_file: OptionalPath = Field(None, description="PEM file with the certificate's private key, unencrypted.")
    client_ca_file: OptionalPath = Field(None, description="PEM file with certificate authorities of clients.")
    require_client_certificate: bool = Field(
        default=False, description="Mutual TLS: whether clients must present a certificate that client_ca_file signed."
    )
    certificate_scopes_file: OptionalPath = Field(
        None,
        description="File of names in client certificates with their scopes, one per line as in tokens_file without "
        "sha256, for calls without a token; needs require_client_certificate; not set: certificates have no scopes.",
    )
    tokens_file: OptionalPath = Field(
        None,
        description="File of hashed bearer tokens, one per line, as `crossrec tokens new` prints them; not set: none.",
    )
    jwks_file: OptionalPath = Field(
        None, description="JSON Web Key Set file with the public keys of JWT signers; not set: no JWTs."
    )
    jwt_issuer: str = Field("", description="Required `iss` of JWTs; needed with jwks_file.")
    jwt_audience: str = Field("", description="Required `aud` of JWTs; needed with jwks_file.")
    jwt_leeway_s: float = Field(
        30.0,
        ge=0,
        le=300,
        description="Tolerated clock difference at the beginning and end of a JWT's validity, seconds.",
    )
    reflection: bool = Field(
        default=True, description="Whether gRPC reflection is served; with tokens it needs the scope admin."
    )
    max_streams_per_connection: int = Field(
        100, ge=1, description="Concurrent calls per connection; more wait at the client."
    )
    message_timeout_s: float = Field(
        5.0,
        gt=0,
        description="Seconds in which the message of a call must arrive, else the call is cancelled. Requests of 8 MB "
        "need 13 Mbit/s for the default.",
    )
    max_in_flight_per_client: int = Field(
        128,
        ge=0,
        description="Concurrent calls per client and server process, those included whose message has not arrived; a "
        "client is its token's name, else that in its certificate, else its connection; more get "
        "RESOURCE_EXHAUSTED; 0: no limit.",
    )

    @property
    def needs_tokens(self) -> bool:
        """Whether callers need a token."""
        return bool(self.tokens_file or self.jwks_file)

    @property
    def needs_access(self) -> bool:
        """Whether callers need a token or a certificate with scopes."""
        return bool(self.needs_tokens or self.certificate_scopes_file)

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if (self.certificate_file is None) != (self.key_file is None):
            raise ValueError("certificate_file and key_file go together")
        if (self.client_ca_file is not None) != self.require_client_certificate:
            raise ValueError("client_ca_file and require_client_certificate go together")
        if self.client_ca_file and not self.certificate_file:
            raise ValueError("client_ca_file needs certificate_file: client certificates need TLS")
        if self.certificate_scopes_file and not self.require_client_certificate:
            raise ValueError("certificate_scopes_file needs require_client_certificate: a name must be verified")
        if not bool(self.jwks_file) == bool(self.jwt_issuer) == bool(self.jwt_audience):
            raise ValueError("jwks_file, jwt_issuer and jwt_audience go together")
        return self


class PrivacySettings(SettingsSection):
    """Pseudonyms of user ids in Kafka and in the online store."""

    pseudonym_key_file: Path | None = Field(
        None,
        description="File with the secret key, 32 bytes or more, of the hash that replaces user ids in Kafka and the "
        "store; the same for gateway, ranking server and commands; not set: ids stay as they are.",
    )
    previous_pseudonym_key_files: tuple[Path, ...] = Field(
        (), description="Files with earlier keys; an erasure is published for each, an export searches with each."
    )


class TelemetrySettings(SettingsSection):
    """Export and sampling of traces."""

    endpoint: CollectorUrl = Field(
        "",
        description="OpenTelemetry collector for OTLP over gRPC, like http://127.0.0.1:4317, https:// with TLS; "
        "empty: no traces.",
    )
    sample_ratio: float = Field(
        0.01,
        ge=0,
        le=1,
        description="Share of the traces that begin here to record; a caller's sampling decision takes precedence.",
    )
    service_name: str = Field(
        "crossrec",
        min_length=1,
        description="Service names of the processes are <name>-gateway, -ranking, -consumer-behavior and so on.",
    )
