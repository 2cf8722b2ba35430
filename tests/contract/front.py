"""A proxy in front of other servers: with TLS, token checks and injected faults."""

import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc


@dataclass(frozen=True)
class Seen:
    """A call that the proxy received."""

    method: str
    peer: str
    metadata: dict[str, str]
    request: bytes = b""


@dataclass
class Front(grpc.GenericRpcHandler):
    """Forwards calls.

    Args:
        backend: address to forward to.
        token: calls without it are UNAUTHENTICATED; empty: all are forwarded.
        faults: errors that answer the next calls of a method in place of the backend; with trailing metadata.
    """

    backend: str = ""
    token: str = ""
    faults: dict[str, list[tuple[grpc.StatusCode, tuple[tuple[str, str], ...]]]] = field(default_factory=dict)
    seen: list[Seen] = field(default_factory=list)
    address: str = ""

    def fail(self, method: str, code: grpc.StatusCode, times: int, *metadata: tuple[str, str]) -> None:
        """Make the next calls of a method fail."""
        self.faults[method] = [(code, metadata)] * times

    def tries(self, method: str) -> list[Seen]:
        """The calls of a method that the proxy received."""
        return [seen for seen in self.seen if seen.method == method]

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        path, method = details.method, details.method.rpartition("/")[2]
        if method == "PublishStream":
            return grpc.stream_stream_rpc_method_handler(lambda it, context: self._stream(path, it, context))
        if method in {"Publish", "Rank"}:
            return grpc.unary_unary_rpc_method_handler(lambda request, context: self._unary(path, request, context))
        return None

    def _unary(self, path: str, request: bytes, context: grpc.ServicerContext) -> bytes:
        self._admit(path, context, request)
        with grpc.insecure_channel(self.backend) as channel, _forwarded(context):
            return channel.unary_unary(path)(request, timeout=context.time_remaining())

    def _stream(self, path: str, requests: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
        self._admit(path, context)
        with grpc.insecure_channel(self.backend) as channel, _forwarded(context):
            yield from channel.stream_stream(path)(requests)

    def _admit(self, path: str, context: Any, request: bytes = b"") -> None:
        method, metadata = path.rpartition("/")[2], dict(context.invocation_metadata())
        self.seen.append(Seen(method, context.peer(), metadata, request))
        if self.token and metadata.get("authorization") != f"Bearer {self.token}":
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "the token is missing or wrong")
        if self.faults.get(method):
            code, trailing = self.faults[method].pop(0)
            context.set_trailing_metadata(trailing)
            context.abort(code, "a fault of this test")


@contextmanager
def _forwarded(context: Any) -> Iterator[None]:
    try:
        yield
    except grpc.RpcError as error:
        context.set_trailing_metadata(error.trailing_metadata() or ())
        context.abort(error.code(), error.details())


@contextmanager
def serving(backend: str = "", token: str = "", credentials: grpc.ServerCredentials | None = None) -> Iterator[Front]:
    """Serve on a free port of the loopback interface."""
    front = Front(backend, token)
    server = grpc.server(ThreadPoolExecutor(8), handlers=(front,))
    if credentials is None:
        port = server.add_insecure_port("127.0.0.1:0")
    else:
        port = server.add_secure_port("127.0.0.1:0", credentials)
    front.address = f"127.0.0.1:{port}"
    server.start()
    try:
        yield front
    finally:
        server.stop(0).wait()


@contextmanager
def black_hole() -> Iterator[str]:
    """The address of a port that accepts connections and never sends a byte."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"127.0.0.1:{listener.getsockname()[1]}"
