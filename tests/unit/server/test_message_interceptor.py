"""Messages of calls, on a real channel: parsed within limits, refused with the field at fault."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import grpc
import pytest
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo
from grpc_status import rpc_status

from services.server.grpc_server import ServerLimits, build_server
from services.server.wire_count import WireLimit

SERVICE = "test.Service"
METHOD = f"/{SERVICE}/Call"


@contextmanager
def serving(handler: grpc.RpcMethodHandler, **wire: WireLimit) -> Iterator[grpc.Channel]:
    """A channel to a method of a server."""

    def register(server: grpc.Server) -> None:
        server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(SERVICE, {"Call": handler})])

    limits = ServerLimits(2, 1 << 20, {f"/{SERVICE}/{name}": limit for name, limit in wire.items()})
    built = build_server(SERVICE, register, "127.0.0.1:0", limits)
    built.server.start()
    try:
        with grpc.insecure_channel(built.address) as channel:
            yield channel
    finally:
        built.server.stop(0).wait()


def violation_of(error: grpc.RpcError) -> BadRequest.FieldViolation:
    status, violations = rpc_status.from_call(error), BadRequest()
    assert status is not None
    assert status.details[0].Unpack(violations)
    (violation,) = violations.field_violations
    return violation


def reason(request: ErrorInfo, _: Any) -> bytes:
    return bytes(request.reason.encode())


UNARY = grpc.unary_unary_rpc_method_handler(reason, request_deserializer=ErrorInfo.FromString)
STREAM = grpc.stream_stream_rpc_method_handler(
    lambda requests, _: (reason(request, None) for request in requests), request_deserializer=ErrorInfo.FromString
)


@pytest.mark.parametrize("bad", [b"\xff", b"\x0a\x05ab", b"\x0a\x01\xff"], ids=["no field", "cut off", "no UTF-8"])
def test_bytes_that_do_not_parse_are_an_invalid_request(bad: bytes) -> None:
    """INVALID_ARGUMENT with the message's name, from a unary method and from a stream after its first answer."""
    with serving(UNARY) as channel, pytest.raises(grpc.RpcError) as rejected:
        channel.unary_unary(METHOD)(bad, timeout=300, wait_for_ready=True)
    with serving(STREAM) as channel:
        call = channel.stream_stream(METHOD)(
            iter([ErrorInfo(reason="fine").SerializeToString(), bad]), timeout=300, wait_for_ready=True
        )
        assert b"fine" == next(call)
        with pytest.raises(grpc.RpcError) as ended:
            next(call)
    for error in (rejected.value, ended.value):
        assert grpc.StatusCode.INVALID_ARGUMENT == error.code()
        assert "request" == violation_of(error).field
        assert "google.rpc.ErrorInfo" in violation_of(error).description


def test_a_call_without_a_message_is_an_invalid_request() -> None:
    with serving(UNARY) as channel, pytest.raises(grpc.RpcError) as caught:
        channel.stream_unary(METHOD)(iter([]), timeout=300, wait_for_ready=True)
    assert grpc.StatusCode.INVALID_ARGUMENT == caught.value.code()
    assert "is missing" == violation_of(caught.value).description


def test_entries_are_counted_before_they_are_parsed() -> None:
    """The request itself would parse: the limit is another than the service's."""
    many = ErrorInfo(metadata={str(number): "x" * 100 for number in range(1000)}).SerializeToString()
    with serving(UNARY, Call=WireLimit("metadata", 3, 999)) as channel, pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary(METHOD)(many, timeout=300, wait_for_ready=True)
    assert ("metadata", "has more than 999 entries") == (
        violation_of(caught.value).field,
        violation_of(caught.value).description,
    )


def test_a_client_may_take_its_time_between_messages_of_the_servers_own_streams() -> None:
    """Their services bound the waits themselves."""
    sent, go_on = threading.Event(), threading.Event()

    def requests() -> Iterator[bytes]:
        yield ErrorInfo(reason="first").SerializeToString()
        sent.set()
        go_on.wait(300)
        yield ErrorInfo(reason="second").SerializeToString()

    with serving(STREAM) as channel:
        call = channel.stream_stream(METHOD)(requests(), timeout=300, wait_for_ready=True)
        assert b"first" == next(call)
        assert sent.wait(300)
        go_on.set()
        assert [b"second"] == list(call)
