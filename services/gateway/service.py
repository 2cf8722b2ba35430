"""EventService: the gateway's RPCs.

Limits concurrent calls, identifies the client, respects its deadline, and raises errors instead of setting statuses.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import grpc

from crossrec.events.v1.events_pb2 import (
    PublishRequest,
    PublishResponse,
    PublishStreamRequest,
    PublishStreamResponse,
)
from crossrec.events.v1.events_pb2_grpc import EventServiceServicer
from services.errors import DeadlinePassed, Overloaded, Unavailable
from services.gateway.batch import check_length
from services.gateway.intake import RETRY_AFTER_S, Intake
from services.gateway.pressure import RateLimits
from services.gateway.stream import EntryStream, StreamLimits
from services.server.security.caller import CURRENT_GRANT, client_of, current_scopes
from services.server.security.expiry import end_on_expiry

_BUSY_S = 0.1
"""Retry delay when the limit of concurrent batches is reached, seconds: about as long as Kafka takes for one."""

_ANSWER_MARGIN_S = 0.05
"""Subtracted from the caller's deadline, so that UNAVAILABLE arrives before the call times out without a reason."""


@dataclass(frozen=True)
class CallLimits:
    """Most calls of a gateway at once.

    Args:
        batches: concurrent Publish calls.
        streams: open streams.
        streams_per_client: open streams of one client.
    """

    batches: int
    streams: int
    streams_per_client: int


class EventService(EventServiceServicer):
    """Serves batches and streams.

    Args:
        intake: validates and stores entries.
        rates: rate limits of clients.
        stream_limits: bounds of each stream.
        calls: most calls at once.
    """

    def __init__(self, intake: Intake, rates: RateLimits, stream_limits: StreamLimits, calls: CallLimits) -> None:
        self.max_calls = calls.batches + calls.streams
        self._intake, self._rates, self._stream_limits, self._calls = intake, rates, stream_limits, calls
        self._lock, self._batches, self._stopping = threading.Lock(), 0, False
        self._streams: dict[EntryStream, str] = {}  # with their clients

    def Publish(self, request: PublishRequest, context: grpc.ServicerContext) -> PublishResponse:  # noqa: N802
        """Answer one result per entry, when every accepted entry is stored."""
        check_length(request.entries)
        with self._batch():
            self._check_rate(context, len(request.entries))
            timeout_s = self._timeout_s(context)
            deadline_s = time.monotonic() + timeout_s
            submission = self._intake.submit(self._intake.validate(request.entries, current_scopes()), timeout_s)
            submission.confirm(deadline_s - time.monotonic())
            return PublishResponse(results=submission.answer())

    def PublishStream(  # noqa: N802
        self, request_iterator: Iterator[PublishStreamRequest], context: grpc.ServicerContext
    ) -> Iterator[PublishStreamResponse]:
        """Answer every request when the outcome of its entries is known."""
        client = client_of(context)
        stream = EntryStream(
            self._intake, self._stream_limits, lambda entries: self._rates.delay_s(client, entries), context.cancel
        )
        with self._open(stream, client), end_on_expiry(CURRENT_GRANT.get(), stream.stop):
            if context.add_callback(stream.disconnect):
                yield from stream.answers(request_iterator)

    @property
    def streams(self) -> int:
        """Number of open streams."""
        return len(self._streams)

    def stop(self) -> None:
        """Let every stream answer the requests it has read, then end it; reject new ones."""
        with self._lock:
            self._stopping = True
            streams = list(self._streams)
        for stream in streams:
            stream.stop()

    @contextmanager
    def _batch(self) -> Iterator[None]:
        with self._lock:
            if self._batches >= self._calls.batches:
                raise Overloaded(f"{self._calls.batches} batches are being stored already", _BUSY_S)
            self._batches += 1
        try:
            yield
        finally:
            with self._lock:
                self._batches -= 1

    @contextmanager
    def _open(self, stream: EntryStream, client: str) -> Iterator[None]:
        with self._lock:
            if self._stopping:
                raise Unavailable("the gateway is stopping")
            if len(self._streams) >= self._calls.streams:
                raise Overloaded(f"{self._calls.streams} streams are open already", RETRY_AFTER_S)
            if sum(other == client for other in self._streams.values()) >= self._calls.streams_per_client:
                most = self._calls.streams_per_client
                raise Overloaded(f"{most} streams of this client are open already", RETRY_AFTER_S)
            self._streams[stream] = client
        try:
            yield
        finally:
            with self._lock:
                del self._streams[stream]
            stream.disconnect()

    def _check_rate(self, context: grpc.ServicerContext, entries: int) -> None:
        delay_s = self._rates.delay_s(client_of(context), entries)
        if delay_s:
            raise Overloaded(f"more than {self._rates.events_per_s:g} events a second; nothing was stored", delay_s)

    def _timeout_s(self, context: grpc.ServicerContext) -> float:
        remaining_s = context.time_remaining()
        if remaining_s is None:
            return self._intake.config.kafka_timeout_s
        if remaining_s <= _ANSWER_MARGIN_S:
            raise DeadlinePassed("the deadline leaves no time to store anything; nothing was stored")
        return min(self._intake.config.kafka_timeout_s, remaining_s - _ANSWER_MARGIN_S)
