"""Settings of access to the gRPC servers, of pseudonyms, and of traces."""

from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from services.settings.section import OptionalPath, SettingsSection


class SecuritySettings(SettingsSection):
    """Who may connect to the gRPC servers and call what. Files are read again when they change."""

    certificate_file: OptionalPath = Field(
        None, description="PEM file with the servers' certificate and its chain; not set: no TLS."
    )
    key_file: OptionalPath = Field(None, description="PEM file with the certificate's private key, not encrypted.")
    client_ca_file: OptionalPath = Field(None, description="PEM file with the authorities that sign clients.")
    require_client_certificate: bool = Field(
        default=False, description="Mutual TLS: whether clients must show a certificate that client_ca_file signed."
    )
    tokens_file: OptionalPath = Field(
        None, description="Bearer tokens, hashed, one a line, as `crossrec tokens new` prints them; not set: none."
    )
    jwks_file: OptionalPath = Field(
        None, description="JSON Web Key Set with the public keys of those who sign JWTs; not set: no JWTs."
    )
    jwt_issuer: str = Field("", description="The `iss` that a JWT must have; required with jwks_file.")
    jwt_audience: str = Field("", description="The `aud` that a JWT must have; required with jwks_file.")
    jwt_leeway_s: float = Field(
        30.0, ge=0, le=300, description="Seconds by which clocks may differ where a JWT begins and ends to be valid."
    )
    reflection: bool = Field(default=True, description="Whether reflection is served; with tokens it needs admin.")
    max_streams_per_connection: int = Field(
        1000, ge=1, description="Calls at once on one connection; more wait at the client."
    )
    max_in_flight_per_client: int = Field(
        0,
        ge=0,
        description="Calls at once of one client and server process, by its token's name, else as "
        "gateway.rate_limit_events_per_s tells clients apart; more get RESOURCE_EXHAUSTED; 0: any number.",
    )

    @property
    def needs_tokens(self) -> bool:
        """Whether callers need a token."""
        return bool(self.tokens_file or self.jwks_file)

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if (self.certificate_file is None) != (self.key_file is None):
            raise ValueError("certificate_file and key_file go together")
        if (self.client_ca_file is not None) != self.require_client_certificate:
            raise ValueError("client_ca_file and require_client_certificate go together: clients are asked or not")
        if self.client_ca_file and not self.certificate_file:
            raise ValueError("client_ca_file needs certificate_file: clients are asked only where there is TLS")
        if not bool(self.jwks_file) == bool(self.jwt_issuer) == bool(self.jwt_audience):
            raise ValueError("jwks_file, jwt_issuer and jwt_audience go together")
        return self


class PrivacySettings(SettingsSection):
    """What users are called in Kafka and in the online store."""

    pseudonym_key_file: Path | None = Field(
        None,
        description="File with the secret key, 32 bytes or more, that user ids are hashed with before they reach Kafka "
        "or the store; the same for gateway, ranking server and commands; not set: ids stay as they are.",
    )
    previous_pseudonym_key_files: tuple[Path, ...] = Field(
        (), description="Files with keys of before; an erasure is published under each, an export looks under each."
    )


class TelemetrySettings(SettingsSection):
    """Where traces go, and how many."""

    endpoint: str = Field(
        "",
        pattern=r"^(https?://[^\s/@]+)?$",
        description="OpenTelemetry collector that takes OTLP over gRPC, like http://127.0.0.1:4317, https:// with TLS; "
        "empty: no traces.",
    )
    sample_ratio: float = Field(
        0.01, ge=0, le=1, description="Share of the traces that begin here to record; a caller's decision goes first."
    )
    service_name: str = Field(
        "crossrec", min_length=1, description="Processes are <name>-gateway, -ranking, -consumer-behavior and so on."
    )
