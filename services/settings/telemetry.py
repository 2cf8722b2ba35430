"""Settings of traces."""

from pydantic import Field

from services.settings.section import Section


class TelemetrySettings(Section):
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
