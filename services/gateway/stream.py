"""One PublishStream: a reader thread submits requests, the caller's thread yields the answers.

Bounded memory: the reader waits while the client has too many unanswered entries or unread answers, while it exceeds
its rate, and while the gateway's budget of pending records is full; then gRPC's flow control slows the client down.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextvars import copy_context
from dataclasses import dataclass
from functools import partial

from crossrec.events.v1.events_pb2 import PublishStreamRequest, PublishStreamResponse
from services.errors import Unavailable
from services.gateway.batch import check_length
from services.gateway.intake import Intake, Submission
from services.server.security.caller import current_scopes


@dataclass(frozen=True)
class StreamLimits:
    """Bounds of each stream.

    Args:
        window: most entries that were read and whose answers the client has not taken.
        stall_s: seconds without taking an answer, with a full window, after which a client is disconnected.
        idle_s: seconds without a request, with everything answered, after which a stream ends.
    """

    window: int
    stall_s: float = 60.0
    idle_s: float = 300.0


class EntryStream:
    """One open stream.

    Args:
        intake: validates and stores entries.
        limits: see `StreamLimits`.
        delay_s: seconds until the client's rate limit allows that many entries.
        cut_off: cancels the call of a client that takes no answers.
    """

    def __init__(
        self, intake: Intake, limits: StreamLimits, delay_s: Callable[[int], float], cut_off: Callable[[], object]
    ) -> None:
        self._intake, self._limits = intake, limits
        self._delay_s, self._cut_off = delay_s, cut_off
        self._changed = threading.Condition()
        self._unanswered = 0  # entries read whose answers the client has not taken
        self._pending: dict[_Pending, None] = {}  # submitted, oldest first
        self._ready: deque[_Pending] = deque()  # to be answered
        self._handed_s: float | None = None  # since when gRPC has been holding an answer
        self._reading, self._stopping, self._disconnected = True, False, False
        self._accepting, self._busy_s = False, time.monotonic()  # until when there was something to do
        self._error: Exception | None = None

    def answers(self, requests: Iterable[PublishStreamRequest]) -> Iterator[PublishStreamResponse]:
        """Answer requests until they end or stay out, the client leaves, or `stop`; then raise the reader's error."""
        # In the caller's context: trace and request id apply to the reader too.
        read = partial(copy_context().run, self._read, requests)
        threading.Thread(target=read, name="publish-stream", daemon=True).start()
        while (ready := self._next()) is not None:
            yield PublishStreamResponse(sequence=ready.sequence, results=ready.submission.answer())
            self._on_taken(ready)
        if self._error is not None and not self._disconnected:
            raise self._error

    def stop(self, error: Exception | None = None) -> None:
        """Stop reading; answer what was read, then end with `error`, by default Unavailable."""
        stopping = Unavailable("the gateway is stopping: open another stream, and resend what has no answer")
        with self._changed:
            if self._reading:
                self._error = self._error or error or stopping
            self._stopping = True
            self._changed.notify_all()
        self._intake.budget.wake()

    def disconnect(self) -> None:
        """The client has disconnected: end without more answers."""
        with self._changed:
            self._disconnected = True
            self._changed.notify_all()
        self._intake.budget.wake()

    # Reader thread.

    def _read(self, requests: Iterable[PublishStreamRequest]) -> None:
        error: Exception | None = None
        try:
            for request in requests:
                if not self._accept(request):
                    return
        except Exception as caught:  # raised to the caller by `answers`
            error = caught
        finally:
            with self._changed:
                self._reading = False
                self._error = self._error or error
                self._changed.notify_all()

    def _accept(self, request: PublishStreamRequest) -> bool:
        """Submit the request once rate, window and budget allow; False if the stream ends before."""
        check_length(request.entries)
        self._accepting = True
        try:
            return self._submit(request)
        finally:
            self._accepting, self._busy_s = False, time.monotonic()

    def _submit(self, request: PublishStreamRequest) -> bool:
        entries, timeout_s = len(request.entries), self._intake.config.kafka_timeout_s
        if not (self._wait_for_rate(entries) and self._wait_for_window(entries)):
            return False
        try:
            batch = self._intake.validate(request.entries, current_scopes())
            submission = self._intake.submit_when_room(batch, timeout_s, self._is_over)
        except Exception:
            self._count_unanswered(-entries)
            raise
        self._add_pending(_Pending(request.sequence, entries, submission, time.monotonic() + timeout_s))
        return True

    def _wait_for_rate(self, entries: int) -> bool:
        while delay_s := self._delay_s(entries):
            with self._changed:
                if self._changed.wait_for(self._is_over, delay_s):
                    return False
        return True

    def _wait_for_window(self, entries: int) -> bool:
        """Count the entries as unanswered once the window has room for them; False if the stream ends before."""
        with self._changed:
            while not self._changed.wait_for(lambda: self._is_over() or self._fits(entries), self._limits.stall_s):
                if self._handed_s is not None and time.monotonic() - self._handed_s >= self._limits.stall_s:
                    self._cut_off()
                    return False
            if self._is_over():
                return False
            self._unanswered += entries
            return True

    def _fits(self, entries: int) -> bool:
        return not self._unanswered or self._unanswered + entries <= self._limits.window

    def _add_pending(self, pending: "_Pending") -> None:
        with self._changed:
            self._pending[pending] = None
            self._changed.notify_all()  # there may be a new earliest deadline
        pending.submission.completed.add_done_callback(lambda _: self._complete(pending))

    # Caller's thread.

    def _next(self) -> "_Pending | None":
        """The next request to answer; None after the last one."""
        with self._changed:
            while not self._disconnected:
                self._expire()
                if self._ready:
                    self._handed_s = time.monotonic()
                    return self._ready.popleft()
                if not self._unanswered and (self._stopping or not self._reading or self._idle_left_s() <= 0):
                    self._stopping = True
                    return None
                oldest = next(iter(self._pending), None)
                left_s = self._idle_left_s() if oldest is None else oldest.deadline_s - time.monotonic()
                self._changed.wait(max(0.0, left_s))
        return None

    def _idle_left_s(self) -> float:
        """Seconds until the stream is over because nothing happens on it."""
        if self._unanswered or self._accepting:
            return self._limits.idle_s
        return self._busy_s + self._limits.idle_s - time.monotonic()

    def _on_taken(self, answered: "_Pending") -> None:
        """GRPC has taken the answer."""
        with self._changed:
            self._handed_s = None
        self._count_unanswered(-answered.entries)

    def _complete(self, pending: "_Pending") -> None:
        if refusal := pending.submission.refusal():
            with self._changed:
                self._error = self._error or refusal
            self.stop()
        with self._changed:
            if pending in self._pending:  # otherwise its deadline passed before
                del self._pending[pending]
                self._ready.append(pending)
                self._changed.notify_all()

    def _expire(self) -> None:
        """Requests whose deadline has passed are answered as they are, with unconfirmed entries."""
        now_s = time.monotonic()
        while self._pending and (oldest := next(iter(self._pending))).deadline_s <= now_s:
            del self._pending[oldest]
            self._ready.append(oldest)

    def _count_unanswered(self, entries: int) -> None:
        with self._changed:
            self._unanswered += entries
            self._busy_s = time.monotonic()
            self._changed.notify_all()

    def _is_over(self) -> bool:
        return self._stopping or self._disconnected


@dataclass(eq=False)
class _Pending:
    """A submitted request.

    Args:
        sequence: the client's number for it.
        entries: how many entries it has.
        submission: what was submitted.
        deadline_s: when it is answered even if unconfirmed, on the monotonic clock.
    """

    sequence: int
    entries: int
    submission: Submission
    deadline_s: float
