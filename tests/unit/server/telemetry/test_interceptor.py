"""Request ids and spans of calls, on a real channel."""

import io
import json
import logging
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from opentelemetry.trace import SpanKind, StatusCode

from services.errors import InvalidRequest, Unavailable
from services.server.error_interceptor import ErrorInterceptor
from services.server.logging import JsonFormatter, log_event
from services.server.telemetry.interceptor import RequestInterceptor
from services.server.telemetry.opentelemetry import Tracing
from services.server.telemetry.request import current_request
from tests.unit.server.telemetry.recorded import (
    PARENT_ID,
    TRACE_ID,
    TRACEPARENT,
    UNSAMPLED,
    RecordedTracing,
    find_span,
    span_tree,
)

METHOD = "test.Service/Call"
Behaviour = Callable[[Any, Any], Any]


@contextmanager
def serving(behaviour: Behaviour, tracing: Tracing | None = None, *, stream: bool = False) -> Iterator[Any]:
    """A client method that calls the behaviour behind the interceptors."""
    make = grpc.stream_stream_rpc_method_handler if stream else grpc.unary_unary_rpc_method_handler
    server = grpc.server(ThreadPoolExecutor(1), interceptors=[RequestInterceptor(tracing), ErrorInterceptor()])
    handlers = {"Call": make(behaviour)}
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("test.Service", handlers)])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield channel.stream_stream(f"/{METHOD}") if stream else channel.unary_unary(f"/{METHOD}")
    server.stop(5).wait()


def trailing(call: Any) -> dict[str, str]:
    return dict(call.trailing_metadata())


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    """The formatted lines of the test's logger."""
    stream, logger = io.StringIO(), logging.getLogger("services.test")
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter())
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield stream
    logger.removeHandler(handler)


def log_and_answer(_: Any, __: Any) -> bytes:
    log_event(logging.getLogger("services.test"), "answered")
    return b"done"


def test_answers_and_log_lines_have_the_request_id(lines: io.StringIO) -> None:
    """Also without tracing; ids differ from call to call, and outside of calls there is none."""
    with serving(log_and_answer) as call:
        ids = [trailing(call.with_call(b"")[1])["x-request-id"] for _ in range(2)]
    log_and_answer(b"", None)
    logged = [json.loads(line).get("request_id") for line in lines.getvalue().splitlines()]
    assert [*ids, None] == logged
    assert len(set(ids)) == 2


@pytest.mark.parametrize("error", [InvalidRequest("f", "bad"), RuntimeError("boom")])
def test_errors_have_the_request_id(error: Exception) -> None:
    """Next to the status details; an INTERNAL error has the same id in its text."""

    def fail(_: Any, __: Any) -> bytes:
        raise error

    with serving(fail) as call, pytest.raises(grpc.RpcError) as caught:
        call(b"")
    metadata = trailing(caught.value)
    assert {"x-request-id", "grpc-status-details-bin"} <= set(metadata)
    assert (metadata["x-request-id"] in caught.value.details()) == isinstance(error, RuntimeError)


def test_a_recorded_call_is_a_child_of_its_callers_span(lines: io.StringIO) -> None:
    """The answer and the log have the trace id."""
    recorded = RecordedTracing(ratio=0.0)
    with serving(log_and_answer, recorded.tracing) as call:
        _, done = call.with_call(b"", metadata=(("traceparent", TRACEPARENT), ("tracestate", "who=ann")))
        assert trailing(done)["x-trace-id"] == f"{TRACE_ID:032x}"
    span = find_span(recorded.spans(), METHOD)
    assert (span.context.trace_id, span.parent.span_id, span.kind) == (TRACE_ID, PARENT_ID, SpanKind.SERVER)
    expected = {"rpc.system.name": "grpc", "rpc.method": METHOD, "rpc.response.status_code": "OK"}
    assert (expected, StatusCode.UNSET) == (dict(span.attributes), span.status.status_code)
    assert not span.context.trace_state
    assert json.loads(lines.getvalue())["trace_id"] == f"{TRACE_ID:032x}"


@pytest.mark.parametrize("metadata", [(), (("traceparent", UNSAMPLED),), (("traceparent", "x" * 500),)])
def test_unsampled_calls_are_not_exported(metadata: tuple[tuple[str, str], ...]) -> None:
    """The ratio decides if the caller's trace context is absent or invalid; else its sampling flag does."""
    recorded = RecordedTracing(ratio=1.0 if metadata == (("traceparent", UNSAMPLED),) else 0.0)
    with serving(log_and_answer, recorded.tracing) as call:
        _, done = call.with_call(b"", metadata=metadata)
        assert "x-trace-id" not in trailing(done)
    assert [] == recorded.spans()


@pytest.mark.parametrize(
    ("error", "code", "status"),
    [
        (InvalidRequest("f", "about ann"), "INVALID_ARGUMENT", StatusCode.UNSET),
        (Unavailable("about ann"), "UNAVAILABLE", StatusCode.ERROR),
        (RuntimeError("about ann"), "INTERNAL", StatusCode.ERROR),
    ],
)
def test_a_span_has_the_status_of_its_call_and_no_error_text(error: Exception, code: str, status: StatusCode) -> None:
    """Only faults of the server have the status ERROR; messages of errors are in no span."""

    def fail(_: Any, __: Any) -> bytes:
        raise error

    recorded = RecordedTracing()
    with serving(fail, recorded.tracing) as call, pytest.raises(grpc.RpcError):
        call(b"")
    span = find_span(recorded.spans(), METHOD)
    assert (code, status) == (span.attributes["rpc.response.status_code"], span.status.status_code)
    assert "ann" not in span.to_json()


def test_a_stream_is_one_request() -> None:
    """From its beginning to its end, with one id for all its answers."""
    ids: list[str] = []

    def echo(requests: Iterator[bytes], _: Any) -> Iterator[bytes]:
        for request in requests:
            ids.append(current_request().id)
            yield request

    recorded = RecordedTracing()
    with serving(echo, recorded.tracing, stream=True) as call:
        answers = call(iter([b"a", b"b"]), metadata=(("traceparent", TRACEPARENT),))
        assert [b"a", b"b"] == list(answers)
        assert {trailing(answers)["x-request-id"]} == set(ids)
    assert {(f"{PARENT_ID:016x}", METHOD)} == span_tree(recorded.spans())


def test_a_cancelled_stream_ends_its_span() -> None:
    """With the status CANCELLED."""
    begun = uuid.uuid4().bytes

    def endless(requests: Iterator[bytes], _: Any) -> Iterator[bytes]:
        yield begun
        yield from requests

    recorded = RecordedTracing()
    with serving(endless, recorded.tracing, stream=True) as call:
        answers = call(iter(lambda: b"more", None))
        assert begun == next(answers)
        answers.cancel()
    span = find_span(recorded.spans(), METHOD)
    assert span.attributes["rpc.response.status_code"] == "CANCELLED"


def test_without_a_collector_no_tracing_package_is_loaded() -> None:
    """Neither by servers nor by consumers; the Redis client loads OpenTelemetry's metrics by itself."""
    modules = "services.gateway.main, services.ranking.wiring, services.consumers.main"
    kinds = ("opentelemetry.sdk.trace", "opentelemetry.exporter", "opentelemetry.proto")
    code = f"import sys, {modules}; print([name for name in sys.modules if name.startswith({kinds})])"
    root = Path(__file__).resolve().parents[4]
    command = [sys.executable, "-W", "ignore", "-c", code]
    run = subprocess.run(command, capture_output=True, text=True, check=True, cwd=root)
    assert run.stdout.strip() == "[]"
