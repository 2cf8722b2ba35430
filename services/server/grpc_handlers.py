"""Wraps handlers of a gRPC server, so that every call runs inside a context manager. Knows no interceptor."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import grpc

Around = Callable[[Any], AbstractContextManager[None]]
"""Makes the context manager that a call runs in, from the call's context; a stream is in it until its last answer."""


def has_own_threads(handler: Any) -> bool:
    """Whether a handler's calls run on threads of their own; then it maps errors and bounds its waits by itself."""
    behaviour = handler.unary_unary or handler.unary_stream or handler.stream_unary or handler.stream_stream
    return hasattr(behaviour, "experimental_thread_pool")


def wrap_handler(handler: Any, around: Around) -> Any:
    """The handler of a call with one answer, or of a two-way stream, whose calls run inside `around`; others as is."""
    if has_own_threads(handler):
        return handler
    for kind, make in _ONE_ANSWER.items():
        if behaviour := getattr(handler, kind):
            wrapped = _one_answer(behaviour, around)
            return make(wrapped, handler.request_deserializer, handler.response_serializer)
    if handler.stream_stream:
        return grpc.stream_stream_rpc_method_handler(
            _answers(handler.stream_stream, around), handler.request_deserializer, handler.response_serializer
        )
    return handler


_ONE_ANSWER: dict[str, Callable[..., Any]] = {
    "unary_unary": grpc.unary_unary_rpc_method_handler,
    "stream_unary": grpc.stream_unary_rpc_method_handler,
}


def _one_answer(call: Callable[[Any, Any], Any], around: Around) -> Callable[[Any, Any], Any]:
    def answer(request: Any, context: Any) -> Any:
        with around(context):
            return call(request, context)

    return answer


def _answers(call: Callable[[Any, Any], Iterator[Any]], around: Around) -> Callable[[Any, Any], Iterator[Any]]:
    def answers(requests: Iterator[Any], context: Any) -> Iterator[Any]:
        with around(context):
            yield from call(requests, context)

    return answers
