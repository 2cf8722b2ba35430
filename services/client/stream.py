"""A stream of entries to the gateway that outlives its calls; its twin for asyncio is in async_stream.py.

When the gateway goes away, PublishStream is called again and what has no answer is sent again, with the same event
ids and in the same order. Knows what a call of PublishStream is; how it is made is an argument.
"""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from types import TracebackType
from typing import Any, Self

import grpc

from crossrec.events.v1.events_pb2 import Entry, EntryResult, PublishStreamRequest, PublishStreamResponse

from .batches import with_id
from .errors import CallFailed, Unavailable, call_failed
from .unanswered import Patience, Unanswered

Results = list[EntryResult]


def cut() -> CallFailed:
    """The call ended too early, without an error."""
    return Unavailable(grpc.StatusCode.UNAVAILABLE, "the gateway ended the stream before everything was answered")


def left() -> CallFailed:
    """Who opened the stream does not wait."""
    return CallFailed(grpc.StatusCode.CANCELLED, "the stream was left before everything was answered")


class EventStream:
    """Publishes for as long as it is open; a context manager, safe between threads.

    Leaving it waits for all answers, unless an error leads out.

    Args:
        open_call: calls PublishStream with requests.
        window: entries without an answer; `publish` waits while there are more.
        patience_s: how long a gateway that is away is tried again, seconds.
    """

    def __init__(
        self, open_call: Callable[[Iterator[PublishStreamRequest]], Any], window: int, patience_s: float
    ) -> None:
        self._open_call, self._patience = open_call, Patience(patience_s)
        self._unanswered: Unanswered[Future[Results]] = Unanswered(window)
        self._changed = threading.Condition()
        self._entering, self._closing, self._aborted = 0, False, False
        self._failure: CallFailed | None = None
        self._call: Any = None
        self._thread = threading.Thread(target=self._run, name="event-stream", daemon=True)
        self._thread.start()

    def publish(self, *entries: Entry) -> Future[Results]:
        """Send entries when there is room; what becomes of each, in order, comes with the future.

        One entry a call is answered soonest, many cost less. A result may be `unconfirmed`: publish that entry again.
        Raises CallFailed once the stream has failed for good, and so do the futures.
        """
        future: Future[Results] = Future()
        future.set_running_or_notify_cancel()  # what is sent cannot be called back
        with self._changed:
            if self._closing:
                raise ValueError("publish: the stream is closed")
            self._entering += 1
            self._changed.wait_for(lambda: self._failure or self._unanswered.has_room(len(entries)))
            self._entering -= 1
            if self._failure:
                raise self._failure
            self._unanswered.add([with_id(entry) for entry in entries], future)
            self._changed.notify_all()
        return future

    def close(self) -> None:
        """Wait until everything is answered. Raises CallFailed if the stream has failed."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join()
        if self._failure:
            raise self._failure

    def abort(self) -> None:
        """End at once; what has no answer may or may not be stored."""
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
                    self._exchange()
                except CallFailed as failure:
                    self._pause(self._patience.pause_s(failure))
        except CallFailed as failure:
            with self._changed:
                self._failure = failure
                waiting = self._unanswered.give_up()
                self._changed.notify_all()
            for future in waiting:
                future.set_exception(failure)

    def _has_work(self) -> bool:
        with self._changed:
            if not self._unanswered:
                self._patience.restore()
            self._changed.wait_for(lambda: self._unanswered or self._is_complete())
            return bool(self._unanswered)

    def _is_complete(self) -> bool:
        return self._closing and not self._entering

    def _exchange(self) -> None:
        """One call, until it ends."""
        over = threading.Event()
        try:
            call = self._open_call(self._requests(over))
            with self._changed:
                self._call = call
                if self._aborted:
                    call.cancel()
            for response in call:
                self._answered(response)
        except grpc.RpcError as error:
            raise call_failed(error) from error
        finally:
            with self._changed:
                over.set()
                self._changed.notify_all()
        if self._unanswered:
            raise cut()

    def _requests(self, over: threading.Event) -> Iterator[PublishStreamRequest]:
        """What has no answer, and then what is published, until the call is over; runs on a thread of gRPC's."""
        sequence = 0
        while True:
            with self._changed:
                self._changed.wait_for(
                    lambda: over.is_set() or self._is_complete() or self._unanswered.after(sequence)  # noqa: B023
                )
                request = None if over.is_set() else self._unanswered.after(sequence)
            if request is None:
                return
            sequence = request.sequence
            yield request

    def _answered(self, response: PublishStreamResponse) -> None:
        self._patience.restore()
        with self._changed:
            future = self._unanswered.answered(response)
            self._changed.notify_all()
        if future is not None:
            future.set_result(list(response.results))

    def _pause(self, pause_s: float) -> None:
        with self._changed:
            if self._changed.wait_for(lambda: self._aborted, pause_s):
                raise left()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
        else:
            self.abort()
