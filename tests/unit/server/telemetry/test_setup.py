"""Export of traces: to a collector that answers, to an unavailable one, and to none."""

import socket

import pytest
from pydantic import ValidationError

from services.server.telemetry import opentelemetry as tracing_module
from services.server.telemetry.setup import open_tracing
from services.settings.security import TelemetrySettings
from tests.unit.server.telemetry.collector import running_collector


def test_closing_exports_the_pending_spans() -> None:
    """They have the service name of the process."""
    with running_collector() as (collector, endpoint):
        tracing = open_tracing(TelemetrySettings(endpoint=endpoint, sample_ratio=1, service_name="shop"), "gateway")
        assert tracing
        tracing.start_server_span("a/B", "").end()
        tracing.close()
        assert [("shop-gateway", "a/B")] == collector.spans()


def test_unsampled_spans_are_not_exported() -> None:
    """The collector is not even called."""
    with running_collector() as (collector, endpoint):
        tracing = open_tracing(TelemetrySettings(endpoint=endpoint, sample_ratio=0), "gateway")
        assert tracing
        tracing.start_server_span("a/B", "").end()
        tracing.close()
        assert [] == collector.requests


def test_an_unavailable_collector_does_no_harm() -> None:
    """More spans than the queue holds are started and ended; closing returns by itself; a later span is lost."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    tracing = open_tracing(TelemetrySettings(endpoint=f"http://127.0.0.1:{port}", sample_ratio=1), "gateway")
    assert tracing
    spans = [tracing.start_server_span("a/B", "") for _ in range(3000)]
    for span in spans:
        span.end()
    tracing.close()
    assert not any(span.is_recording() for span in spans)
    tracing.start_server_span("a/B", "").end()


def test_closing_times_out_if_the_collector_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pending spans are lost, and the process ends."""
    monkeypatch.setattr(tracing_module, "FLUSH_S", 0.1)
    with running_collector() as (collector, endpoint):
        collector.answering.clear()
        tracing = open_tracing(TelemetrySettings(endpoint=endpoint, sample_ratio=1), "gateway")
        assert tracing
        tracing.start_server_span("a/B", "").end()
        tracing.close()
        assert [] == collector.requests


def test_without_an_endpoint_there_is_no_tracing() -> None:
    assert open_tracing(TelemetrySettings(), "gateway") is None


@pytest.mark.parametrize("endpoint", ["127.0.0.1:4317", "http://user:password@host:4317", "ftp://host"])
def test_an_endpoint_is_a_url_without_secrets(endpoint: str) -> None:
    with pytest.raises(ValidationError, match="endpoint"):
        TelemetrySettings(endpoint=endpoint)
