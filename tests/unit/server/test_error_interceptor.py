"""The exception hierarchy as gRPC statuses, on a real channel."""

import json
import logging
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc
import pytest
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from grpc_status import rpc_status

from services.errors import (
    CrossRecError,
    DeadlinePassed,
    InvalidRequest,
    Overloaded,
    RequestError,
    Unavailable,
)
from services.server.error_interceptor import RETRY_PUSHBACK, ErrorInterceptor
from services.server.logging import JsonFormatter

Call = Callable[[Callable[[Any, Any], Any]], grpc.RpcError]


METHOD = "/test.Service/Call"


@contextmanager
def serving(handler: grpc.RpcMethodHandler) -> Iterator[grpc.Channel]:
    """A channel to a method behind the interceptor."""
    server = grpc.server(ThreadPoolExecutor(1), interceptors=[ErrorInterceptor(lambda: "id-1")])
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("test.Service", {"Call": handler})])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield channel
    server.stop(0).wait()


@pytest.fixture
def failure() -> Iterator[Call]:
    """Calls a behaviour as a unary method behind the interceptor and returns the error that a client sees."""
    behaviours: list[Callable[[Any, Any], Any]] = []
    handler = grpc.unary_unary_rpc_method_handler(lambda *call: behaviours[-1](*call))  # noqa: PLW0108 - set later
    with serving(handler) as channel:

        def call(behaviour: Callable[[Any, Any], Any]) -> grpc.RpcError:
            behaviours.append(behaviour)
            with pytest.raises(grpc.RpcError) as caught:
                channel.unary_unary(METHOD)(b"", timeout=300, wait_for_ready=True)
            return caught.value

        yield call


def violation_of(error: grpc.RpcError) -> BadRequest.FieldViolation:
    status, violations = rpc_status.from_call(error), BadRequest()
    assert status is not None
    assert status.details[0].Unpack(violations)
    (violation,) = violations.field_violations
    return violation


def raising(error: Exception) -> Callable[[Any, Any], Any]:
    def behaviour(request: Any, context: Any) -> Any:
        del request, context
        raise error

    return behaviour


def info_of(error: grpc.RpcError) -> ErrorInfo:
    status, info = rpc_status.from_call(error), ErrorInfo()
    assert status is not None
    status.details[-1].Unpack(info)
    return info


@pytest.mark.parametrize(
    ("error", "code", "reason"),
    [
        (InvalidRequest("f", "bad"), grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST"),
        (Overloaded("full"), grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED"),
        (DeadlinePassed("late"), grpc.StatusCode.DEADLINE_EXCEEDED, "DEADLINE_PASSED"),
        (Unavailable("away"), grpc.StatusCode.UNAVAILABLE, "UNAVAILABLE"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_every_request_error_has_its_status(
    failure: Call, error: RequestError, code: grpc.StatusCode, reason: str
) -> None:
    """Code, text and a machine-readable reason."""
    seen = failure(raising(error))
    assert (seen.code(), seen.details()) == (code, str(error))
    assert (info_of(seen).reason, info_of(seen).domain) == (reason, "crossrec")


def test_a_subclass_has_the_status_of_its_parent(failure: Call) -> None:
    """A server may add reasons of its own."""

    class StoreAway(Unavailable):
        reason = "STORE_AWAY"

    seen = failure(raising(StoreAway("store away")))
    assert (seen.code(), info_of(seen).reason) == (grpc.StatusCode.UNAVAILABLE, "STORE_AWAY")


def test_an_invalid_request_names_the_field(failure: Call) -> None:
    """In google.rpc.BadRequest."""
    status, bad_request = rpc_status.from_call(failure(raising(InvalidRequest("a.b", "is empty")))), BadRequest()
    assert status is not None
    status.details[0].Unpack(bad_request)
    (violation,) = bad_request.field_violations
    assert (violation.field, violation.description) == ("a.b", "is empty")


def test_an_overloaded_server_sends_a_retry_delay(failure: Call) -> None:
    """In google.rpc.RetryInfo for applications, in the trailing metadata for gRPC's own retries."""
    seen = failure(raising(Overloaded("full", retry_after_s=1.2341)))
    status, retry = rpc_status.from_call(seen), RetryInfo()
    assert status is not None
    status.details[0].Unpack(retry)
    assert retry.retry_delay.ToMilliseconds() == 1235  # never too early
    assert dict(seen.trailing_metadata())[RETRY_PUSHBACK] == "1235"


def test_other_errors_have_no_retry_delay(failure: Call) -> None:
    """The client's own backoff applies."""
    assert RETRY_PUSHBACK not in dict(failure(raising(Unavailable("away"))).trailing_metadata())


def test_a_stream_ends_with_the_status_of_its_error_after_its_earlier_answers() -> None:
    """Errors of streams are mapped as those of unary calls."""

    def echo(requests: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
        del context
        for request in requests:
            if request == b"bad":
                raise InvalidRequest("f", "is bad")
            if request == b"broken":
                raise KeyError("secret")
            yield request

    with serving(grpc.stream_stream_rpc_method_handler(echo)) as channel:
        for last, code in ((b"bad", grpc.StatusCode.INVALID_ARGUMENT), (b"broken", grpc.StatusCode.INTERNAL)):
            answers = channel.stream_stream(METHOD)(iter([b"1", last]), timeout=300, wait_for_ready=True)
            assert next(answers) == b"1"
            with pytest.raises(grpc.RpcError) as caught:
                next(answers)
            assert caught.value.code() == code
            assert info_of(caught.value).domain == "crossrec"


@pytest.mark.parametrize("error", [KeyError("secret"), CrossRecError("secret")], ids=lambda error: type(error).__name__)
def test_any_other_error_is_internal_and_logged_once(
    failure: Call, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    """The caller gets a request id without the error's text; the log has the traceback with the same id."""
    seen = failure(raising(error))
    assert (seen.code(), seen.details()) == (grpc.StatusCode.INTERNAL, "internal error, request id id-1")
    assert info_of(seen).metadata["request_id"] == "id-1"
    (record,) = caplog.records
    line = json.loads(JsonFormatter().format(record))
    assert (line["event"], line["request_id"], line["method"]) == ("request_failed", "id-1", "/test.Service/Call")
    assert type(error).__name__ in line["traceback"]
    assert "secret" not in line["traceback"]


def test_only_unavailability_is_logged_among_request_errors(failure: Call, caplog: pytest.LogCaptureFixture) -> None:
    """Callers correct invalid requests; operators handle an unavailable dependency."""
    failure(raising(InvalidRequest("f", "bad")))
    failure(raising(Unavailable("away")))
    assert [(record.levelno, record.getMessage()) for record in caplog.records] == [
        (logging.WARNING, "request_unavailable")
    ]


def test_a_status_set_by_the_servicer_is_kept(failure: Call) -> None:
    """`context.abort` is not handled as an unexpected error."""
    seen = failure(lambda _, context: context.abort(grpc.StatusCode.NOT_FOUND, "no such thing"))
    assert (seen.code(), seen.details()) == (grpc.StatusCode.NOT_FOUND, "no such thing")
