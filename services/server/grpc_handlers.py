"""Wraps handlers of a gRPC server, so that every call runs inside a context manager. Knows no interceptor."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import grpc

Around = Callable[[Any], AbstractContextManager[None]]
"""Makes the context manager that a call runs in, from the call's context; a stream is in it until its last answer."""

Parse = Callable[[bytes], Any]


def wrap_handler(handler: Any, around: Around, parse: Parse | None = None) -> Any:
    """The handler of a unary call or two-way stream whose calls run inside `around`; other handlers as they are.

    With `parse`, requests are parsed inside it, too, instead of by gRPC.
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
