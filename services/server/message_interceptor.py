"""The innermost interceptor of a gRPC server: reads and parses the messages of calls, within limits.

gRPC itself would let a thread wait for the message of a call for as long as its client likes, answer bytes that are
not a message with INTERNAL, and parse whatever its size limit lets pass. So the handlers that it gets are of streams,
and messages are read here. All other interceptors come before: they decide and count before a message is read.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import grpc
from google.protobuf.message import DecodeError

from services.errors import InvalidRequest, PermissionDenied
from services.server.client_waits import ClientWaits
from services.server.grpc_handlers import has_own_threads
from services.server.parsing_budget import ParsingBudget
from services.server.security.caller import client_of, waiter_of
from services.server.wire_count import SMALL_BYTES, WireLimit

PROBE_PEER = "unix"
"""Peers of the address at which a server asks itself whether it serves; for health alone."""


@dataclass(frozen=True)
class MessageLimits:
    """Limits of the messages of a server.

    Args:
        messages: waits for messages.
        answers: waits until answers are taken.
        parsing: bounds the bytes of large requests.
        wire: most entries of requests by method, like /service/method.
    """

    messages: ClientWaits
    answers: ClientWaits
    parsing: ParsingBudget
    wire: Mapping[str, WireLimit] = field(default_factory=dict)


class MessageInterceptor(grpc.ServerInterceptor):
    """Reads requests of unary calls and two-way streams.

    Args:
        service: full name of the service whose streams bound the waits for their requests themselves.
        limits: see `MessageLimits`.
    """

    def __init__(self, service: str, limits: MessageLimits) -> None:
        self._prefix, self._limits = f"/{service}/", limits

    def intercept_service(self, continuation: Any, handler_call_details: Any) -> Any:
        """The method's handler, with serialised requests in its place."""
        handler, method = continuation(handler_call_details), handler_call_details.method
        if handler is None or has_own_threads(handler):
            return handler
        parse = partial(self._parse, handler.request_deserializer, self._limits.wire.get(method))
        if handler.unary_unary:
            unary = partial(self._unary, handler.unary_unary, parse)
            return grpc.stream_unary_rpc_method_handler(unary, None, handler.response_serializer)
        if handler.stream_stream:
            stream = partial(self._stream, handler.stream_stream, parse, method.startswith(self._prefix))
            return grpc.stream_stream_rpc_method_handler(stream, None, handler.response_serializer)
        return handler

    def _unary(
        self, call: Callable[[Any, Any], Any], parse: Callable[[bytes], Any], requests: Iterator[bytes], context: Any
    ) -> Any:
        client, waiter = _identify(context)
        data = self._limits.messages.next_message(requests, waiter, context.cancel)
        if data is None:
            raise InvalidRequest("request", "is missing")
        if len(data) <= SMALL_BYTES:
            answer = call(parse(data), context)
        else:
            with self._limits.parsing.hold(client, len(data)):
                answer = call(parse(data), context)
        self._begin_answer(waiter, context)
        return answer

    def _begin_answer(self, waiter: str, context: Any) -> None:
        """Count the call until its client has taken the answer."""
        wait = self._limits.answers.begin(waiter, context.cancel)
        if not context.add_callback(partial(self._limits.answers.end, wait)):
            self._limits.answers.end(wait)

    def _stream(
        self,
        call: Callable[[Any, Any], Iterator[Any]],
        parse: Callable[[bytes], Any],
        bounded: bool,
        requests: Iterator[bytes],
        context: Any,
    ) -> Iterator[Any]:
        client, waiter = _identify(context)
        given = requests if bounded else self._read(requests, waiter, context)
        for answer in call(self._parsed(given, parse, client), context):
            with self._limits.answers.wait(waiter, context.cancel):
                yield answer

    def _read(self, requests: Iterator[bytes], waiter: str, context: Any) -> Iterator[bytes]:
        while (data := self._limits.messages.next_message(requests, waiter, context.cancel)) is not None:
            yield data

    def _parsed(self, requests: Iterator[bytes], parse: Callable[[bytes], Any], client: str) -> Iterator[Any]:
        for data in requests:
            with self._limits.parsing.hold(client, len(data)):
                yield parse(data)

    @staticmethod
    def _parse(deserialise: Callable[[bytes], Any] | None, limit: WireLimit | None, data: bytes) -> Any:
        if limit:
            limit.check(data)
        try:
            return deserialise(data) if deserialise else data
        except DecodeError as error:
            raise InvalidRequest("request", f"cannot be read: {error}") from error


def _identify(context: Any) -> tuple[str, str]:
    """The client of a call, and who is waited for. Raises PermissionDenied at the address for health checks."""
    client, waiter = client_of(context), waiter_of(context)
    if waiter.startswith(PROBE_PEER):
        raise PermissionDenied("this address is for health checks")
    return client, waiter
