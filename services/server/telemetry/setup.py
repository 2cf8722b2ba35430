"""Whether there are traces: only where a collector is named is anything of OpenTelemetry loaded."""

from typing import TYPE_CHECKING

from services.settings.security import TelemetrySettings

if TYPE_CHECKING:
    from services.server.telemetry.opentelemetry import Tracing

EXPORT_TIMEOUT_S = 5.0
"""Longest that a batch of spans is tried to be sent, seconds."""


def open_tracing(settings: TelemetrySettings, process: str) -> "Tracing | None":
    """What makes this process' spans; None without an endpoint. To be closed at the end.

    Does not wait for the collector: one that is away costs spans and a line in the log now and then.

    Args:
        settings: where to, and how many.
        process: what the process is, like `gateway`.
    """
    if not settings.endpoint:
        return None
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

    from services.server.telemetry.opentelemetry import Tracing

    exporter = OTLPSpanExporter(endpoint=settings.endpoint, timeout=EXPORT_TIMEOUT_S)
    return Tracing(f"{settings.service_name}-{process}", settings.sample_ratio, exporter)
