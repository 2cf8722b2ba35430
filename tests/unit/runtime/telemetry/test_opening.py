"""Traces on their way to a collector: one that takes them, one that is away, and none."""

import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import (
    TraceServiceServicer,
    add_TraceServiceServicer_to_server,
)
from pydantic import ValidationError

from services.runtime.sections.telemetry import TelemetrySettings
from services.runtime.telemetry import tracing as tracing_module
from services.runtime.telemetry.opening import open_tracing


class Collector(TraceServiceServicer):
    """Keeps what it gets; holds its answers back while `silent`."""

    def __init__(self) -> None:
        self.requests: list[ExportTraceServiceRequest] = []
        self.answering = threading.Event()
        self.answering.set()

    def Export(self, request: ExportTraceServiceRequest, context: Any) -> ExportTraceServiceResponse:  # noqa: N802
        del context
        self.answering.wait()
        self.requests.append(request)
        return ExportTraceServiceResponse()

    def spans(self) -> list[tuple[str, str]]:
        """(service, name) of every span."""
        return [
            (attribute.value.string_value, span.name)
            for request in self.requests
            for resource in request.resource_spans
            for attribute in resource.resource.attributes
            if attribute.key == "service.name"
            for scope in resource.scope_spans
            for span in scope.spans
        ]


@contextmanager
def collecting() -> Iterator[tuple[Collector, str]]:
    """A collector, and the endpoint at which it is."""
    collector, server = Collector(), grpc.server(ThreadPoolExecutor(1))
    add_TraceServiceServicer_to_server(collector, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield collector, f"http://127.0.0.1:{port}"
    collector.answering.set()
    server.stop(0).wait()


def test_spans_reach_the_collector_by_the_end() -> None:
    """Under the process' name; closing sends what is left."""
    with collecting() as (collector, endpoint):
        tracing = open_tracing(TelemetrySettings(endpoint=endpoint, sample_ratio=1, service_name="shop"), "gateway")
        assert tracing
        tracing.serve("a/B", "").end()
        tracing.close()
        assert [("shop-gateway", "a/B")] == collector.spans()


def test_nothing_unsampled_is_sent() -> None:
    """The collector is not even called."""
    with collecting() as (collector, endpoint):
        tracing = open_tracing(TelemetrySettings(endpoint=endpoint, sample_ratio=0), "gateway")
        assert tracing
        tracing.serve("a/B", "").end()
        tracing.close()
        assert [] == collector.requests


def test_a_collector_that_is_away_harms_nothing() -> None:
    """More spans than anything holds are begun and ended, closing gives up by itself; a later one is lost."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    tracing = open_tracing(TelemetrySettings(endpoint=f"http://127.0.0.1:{port}", sample_ratio=1), "gateway")
    assert tracing
    spans = [tracing.serve("a/B", "") for _ in range(3000)]
    for span in spans:
        span.end()
    tracing.close()
    assert not any(span.is_recording() for span in spans)
    tracing.serve("a/B", "").end()


def test_closing_does_not_wait_for_a_collector_that_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is left is lost then; the process ends."""
    monkeypatch.setattr(tracing_module, "FLUSH_S", 0.1)
    with collecting() as (collector, endpoint):
        collector.answering.clear()
        tracing = open_tracing(TelemetrySettings(endpoint=endpoint, sample_ratio=1), "gateway")
        assert tracing
        tracing.serve("a/B", "").end()
        tracing.close()
        assert [] == collector.requests


def test_without_an_endpoint_there_is_nothing() -> None:
    assert open_tracing(TelemetrySettings(), "gateway") is None


@pytest.mark.parametrize("endpoint", ["127.0.0.1:4317", "http://user:password@host:4317", "ftp://host"])
def test_an_endpoint_is_a_url_without_secrets(endpoint: str) -> None:
    with pytest.raises(ValidationError, match="endpoint"):
        TelemetrySettings(endpoint=endpoint)
