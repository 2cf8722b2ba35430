"""Traces on their way to a collector: one that takes them, one that is away, and none."""

import socket

import pytest
from pydantic import ValidationError

from services.server.telemetry import opentelemetry as tracing_module
from services.server.telemetry.setup import open_tracing
from services.settings.security import TelemetrySettings
from tests.unit.server.telemetry.collector import collecting


def test_spans_reach_the_collector_by_the_end() -> None:
    """Under the process' name; closing sends what is left."""
    with collecting() as (collector, endpoint):
        tracing = open_tracing(TelemetrySettings(endpoint=endpoint, sample_ratio=1, service_name="shop"), "gateway")
        assert tracing
        tracing.start_server_span("a/B", "").end()
        tracing.close()
        assert [("shop-gateway", "a/B")] == collector.spans()


def test_nothing_unsampled_is_sent() -> None:
    """The collector is not even called."""
    with collecting() as (collector, endpoint):
        tracing = open_tracing(TelemetrySettings(endpoint=endpoint, sample_ratio=0), "gateway")
        assert tracing
        tracing.start_server_span("a/B", "").end()
        tracing.close()
        assert [] == collector.requests


def test_a_collector_that_is_away_harms_nothing() -> None:
    """More spans than anything holds are begun and ended, closing gives up by itself; a later one is lost."""
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


def test_closing_does_not_wait_for_a_collector_that_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is left is lost then; the process ends."""
    monkeypatch.setattr(tracing_module, "FLUSH_S", 0.1)
    with collecting() as (collector, endpoint):
        collector.answering.clear()
        tracing = open_tracing(TelemetrySettings(endpoint=endpoint, sample_ratio=1), "gateway")
        assert tracing
        tracing.start_server_span("a/B", "").end()
        tracing.close()
        assert [] == collector.requests


def test_without_an_endpoint_there_is_nothing() -> None:
    assert open_tracing(TelemetrySettings(), "gateway") is None


@pytest.mark.parametrize("endpoint", ["127.0.0.1:4317", "http://user:password@host:4317", "ftp://host"])
def test_an_endpoint_is_a_url_without_secrets(endpoint: str) -> None:
    with pytest.raises(ValidationError, match="endpoint"):
        TelemetrySettings(endpoint=endpoint)
