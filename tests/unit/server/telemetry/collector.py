"""An OpenTelemetry collector in this process that records its requests."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import (
    TraceServiceServicer,
    add_TraceServiceServicer_to_server,
)


class Collector(TraceServiceServicer):
    """Records its requests; does not answer while `answering` is cleared."""

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

    def trace_ids(self) -> set[str]:
        """Of all spans, as 32 hexadecimal digits."""
        return {
            span.trace_id.hex()
            for request in self.requests
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        }


@contextmanager
def running_collector() -> Iterator[tuple[Collector, str]]:
    """A collector and its endpoint."""
    collector, server = Collector(), grpc.server(ThreadPoolExecutor(1))
    add_TraceServiceServicer_to_server(collector, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield collector, f"http://127.0.0.1:{port}"
    collector.answering.set()
    server.stop(0).wait()
