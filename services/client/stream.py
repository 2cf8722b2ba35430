"""A publish stream to the gateway that reconnects; async_stream.py has the asyncio version.

When the gateway becomes unavailable, PublishStream is called again and pending requests are sent again, with the same
event ids and in the same order. How a call of PublishStream is made is an argument.
"""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from types import TracebackType
from typing import Any, Self

import grpc

from crossrec.events.v1.events_pb2 import Entry, EntryResult, PublishStreamRequest, PublishStreamResponse

from .batches import check_request, ensure_event_id
from .errors import CallFailed, ServiceUnavailable, error_from_rpc
from .pending import PendingRequests, ReconnectBackoff

Results = list[EntryResult]


def stream_ended_early() -> CallFailed:
    """The error of a call that ended without an error status before everything was answered."""
    return ServiceUnavailable(
        grpc.StatusCode.UNAVAILABLE, "the gateway ended the stream before everything was answered"
    )


def stream_aborted() -> CallFailed:
    """The error of requests that were pending when the stream was aborted."""
    return CallFailed(grpc.StatusCode.CANCELLED, "the stream was aborted before everything was answered")


class EventStream:
    """Publishes while it is open; a context manager; thread-safe.

    Leaving the block waits for all answers, unless an error was raised in it.

    Args:
        open_call: calls PublishStream with requests.
        window: most entries without an answer; `publish` blocks while there are more.
        reconnect_timeout_s: how long reconnecting to an unavailable gateway is tried, seconds.
    """

    def __init__(
        self, open_call: Callable[[Iterator[PublishStreamRequest]], Any], window: int, reconnect_timeout_s: float
    ) -> None:
        self._open_call, self._backoff = open_call, ReconnectBackoff(reconnect_timeout_s)
        self._pending: PendingRequests[Future[Results]] = PendingRequests(window)
        self._changed = threading.Condition()
        self._entering, self._closing, self._aborted = 0, False, False
        self._failure: CallFailed | None = None
        self._call: Any = None
        self._thread = threading.Thread(target=self._run, name="event-stream", daemon=True)
        self._thread.start()

    def publish(self, *entries: Entry) -> Future[Results]:
        """Send entries when the window has room; the future holds a result per entry, in order.

        One entry per call has the lowest latency, many the lowest cost. A result may be `unconfirmed`: publish that
        entry again. Raises CallFailed once the stream has failed finally, and so do the futures; InvalidArgument for
        entries that are too many or too large for one request: then nothing is sent, and the stream stays open.
        """
        check_request(entries)
        future: Future[Results] = Future()
        future.set_running_or_notify_cancel()  # a sent request cannot be cancelled
        with self._changed:
            if self._closing:
                raise ValueError("publish: the stream is closed")
            self._entering += 1
            self._changed.wait_for(lambda: self._failure or self._pending.has_room(len(entries)))
            self._entering -= 1
            if self._failure:
                raise self._failure
            self._pending.add([ensure_event_id(entry) for entry in entries], future)
            self._changed.notify_all()
        return future

    def close(self) -> None:
        """Wait until all requests are answered. Raises CallFailed if the stream has failed."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join()
        if self._failure:
            raise self._failure

    def abort(self) -> None:
        """End at once; pending entries may or may not be stored."""
        with self._changed:
            self._closing = self._aborted = True
            self._changed.notify_all()
            if self._call is not None:
                self._call.cancel()
        self._thread.join()

    def _run(self) -> None:
        try:
            while self._has_work():
                try:
                    self._run_call()
                except CallFailed as failure:
                    self._pause(self._backoff.pause_s(failure))
        except CallFailed as failure:
            with self._changed:
                self._failure = failure
                waiting = self._pending.pop_all()
                self._changed.notify_all()
            for future in waiting:
                future.set_exception(failure)

    def _has_work(self) -> bool:
        with self._changed:
            if not self._pending:
                self._backoff.reset()
            self._changed.wait_for(lambda: self._pending or self._is_complete())
            return bool(self._pending)

    def _is_complete(self) -> bool:
        return self._closing and not self._entering

    def _run_call(self) -> None:
        """Make one call of PublishStream, and return when it has ended."""
        over = threading.Event()
        try:
            call = self._open_call(self._requests(over))
            with self._changed:
                self._call = call
                if self._aborted:
                    call.cancel()
            for response in call:
                self._handle_response(response)
        except grpc.RpcError as error:
            raise error_from_rpc(error) from error
        finally:
            with self._changed:
                over.set()
                self._changed.notify_all()
        if self._pending:
            raise stream_ended_early()

    def _requests(self, over: threading.Event) -> Iterator[PublishStreamRequest]:
        """Pending requests, then new ones, until the call is over; runs on a thread of gRPC."""
        sequence = 0
        while True:
            with self._changed:
                self._changed.wait_for(
                    lambda: over.is_set() or self._is_complete() or self._pending.after(sequence)  # noqa: B023
                )
                request = None if over.is_set() else self._pending.after(sequence)
            if request is None:
                return
            sequence = request.sequence
            yield request

    def _handle_response(self, response: PublishStreamResponse) -> None:
        self._backoff.reset()
        with self._changed:
            future = self._pending.pop_answered(response)
            self._changed.notify_all()
        if future is not None:
            future.set_result(list(response.results))

    def _pause(self, pause_s: float) -> None:
        with self._changed:
            if self._changed.wait_for(lambda: self._aborted, pause_s):
                raise stream_aborted()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
        else:
            self.abort()
