"""Handlers of a gRPC server wrapped in what is to happen around each of their calls. Knows no interceptor."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import grpc

Around = Callable[[Any], AbstractContextManager[None]]
"""What a call with this context runs in; a stream until its last answer."""

Parse = Callable[[bytes], Any]


def wrapped(handler: Any, around: Around, parse: Parse | None = None) -> Any:
    """The handler of a unary call or two-way stream, around whose calls something happens; others as they are.

    With `parse` requests are read in there, too, instead of by gRPC.
    """
    deserialise = None if parse else handler.request_deserializer
    if handler.unary_unary is not None:
        unary = _unary(handler.unary_unary, around, parse)
        return grpc.unary_unary_rpc_method_handler(unary, deserialise, handler.response_serializer)
    if handler.stream_stream is not None:
        stream = _stream(handler.stream_stream, around, parse)
        return grpc.stream_stream_rpc_method_handler(stream, deserialise, handler.response_serializer)
    return handler


def _unary(call: Callable[[Any, Any], Any], around: Around, parse: Parse | None) -> Callable[[Any, Any], Any]:
    def answer(request: Any, context: Any) -> Any:
        with around(context):
            return call(parse(request) if parse else request, context)

    return answer


def _stream(
    call: Callable[[Any, Any], Iterator[Any]], around: Around, parse: Parse | None
) -> Callable[[Any, Any], Iterator[Any]]:
    def answers(requests: Iterator[Any], context: Any) -> Iterator[Any]:
        with around(context):
            yield from call(map(parse, requests) if parse else requests, context)

    return answers
