"""OpenTelemetry set-up: opens tracing if a collector is configured; otherwise nothing of the SDK is loaded."""

from typing import TYPE_CHECKING

from services.settings.security import TelemetrySettings

if TYPE_CHECKING:
    from services.server.telemetry.opentelemetry import Tracing

EXPORT_TIMEOUT_S = 5.0
"""Time-out of exporting a batch of spans, retries included, seconds."""


def open_tracing(settings: TelemetrySettings, process: str) -> "Tracing | None":
    """The tracing of this process, to be closed at its end; None without an endpoint.

    Does not wait for the collector: while it is unavailable, spans are dropped and a warning is logged now and then.

    Args:
        settings: endpoint and sampling.
        process: name of the process, like `gateway`.
    """
    if not settings.endpoint:
        return None
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

    from services.server.telemetry.opentelemetry import Tracing

    exporter = OTLPSpanExporter(endpoint=settings.endpoint, timeout=EXPORT_TIMEOUT_S)
    return Tracing(f"{settings.service_name}-{process}", settings.sample_ratio, exporter)
