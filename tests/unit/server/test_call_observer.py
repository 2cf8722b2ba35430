"""The observer of completed calls, on a real channel."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import grpc
import pytest

from services.errors import InvalidRequest
from services.server.grpc_server import ServerLimits, build_server

SERVICE = "test.Service"
Call = tuple[str, str]


class CallRecorder:
    """Records the calls that are observed."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.changed = threading.Condition()

    def __call__(self, method: str, code: grpc.StatusCode, seconds: float) -> None:
        assert seconds >= 0
        with self.changed:
            self.calls.append((method, code.name))
            self.changed.notify_all()

    def wait(self, count: int) -> list[Call]:
        with self.changed:
            self.changed.wait_for(lambda: len(self.calls) >= count)
            return self.calls


def unary(request: bytes, context: Any) -> bytes:
    if request == b"bad":
        raise InvalidRequest("field", "is bad")
    if request == b"broken":
        raise RuntimeError
    if request == b"leave":
        context.cancel()
        while context.is_active():
            threading.Event().wait(0.01)
    return request


def stream(requests: Iterator[bytes], context: Any) -> Iterator[bytes]:
    for request in requests:
        yield unary(request, context)


@contextmanager
def serving(recorder: CallRecorder) -> Iterator[grpc.Channel]:
    handlers = {
        "One": grpc.unary_unary_rpc_method_handler(unary),
        "Many": grpc.stream_stream_rpc_method_handler(stream),
    }

    def register(server: grpc.Server) -> None:
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))

    built = build_server(SERVICE, register, "127.0.0.1:0", ServerLimits(4, 1 << 20), observe=recorder)
    built.server.start()
    try:
        with grpc.insecure_channel(built.address) as channel:
            yield channel
    finally:
        built.server.stop(0).wait()


@pytest.mark.parametrize(
    ("request_", "code"),
    [(b"good", "OK"), (b"bad", "INVALID_ARGUMENT"), (b"broken", "INTERNAL"), (b"leave", "CANCELLED")],
)
@pytest.mark.parametrize("method", ["One", "Many"])
def test_every_call_is_observed_once_with_its_status_code(method: str, request_: bytes, code: str) -> None:
    """A stream is observed when it ends; a call that the client cancelled has CANCELLED."""
    recorder = CallRecorder()
    with serving(recorder) as channel:
        try:
            if method == "One":
                channel.unary_unary(f"/{SERVICE}/One")(request_)
            else:
                list(channel.stream_stream(f"/{SERVICE}/Many")(iter([request_])))
        except grpc.RpcError as error:
            assert code == error.code().name
        assert [(method, code)] == recorder.wait(1)


def test_calls_of_other_services_are_not_observed() -> None:
    """Health checks would outnumber the other calls."""
    recorder = CallRecorder()
    with serving(recorder) as channel:
        channel.unary_unary("/grpc.health.v1.Health/Check")(b"")
        channel.unary_unary(f"/{SERVICE}/One")(b"good")
        assert [("One", "OK")] == recorder.wait(1)
