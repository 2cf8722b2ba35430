"""One PublishStream: a thread of its own reads and submits, the caller's thread takes the answers.

Bounded memory: the reader waits while the client has too many answers to come or to take, while it is over its
rate, and while the gateway holds as much as it may; then gRPC's flow control holds the client back.
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
from services.gateway.intake import Intake, Submission, check_length


@dataclass(frozen=True)
class StreamLimits:
    """Bounds of each stream.

    Args:
        window: entries that were read and whose answers the client has not taken; the reader waits for more.
        stall_s: a client that takes no answer for so many seconds while its window is full is cut off.
    """

    window: int
    stall_s: float = 60.0


class EntryStream:
    """The life of one stream.

    Args:
        intake: judges and stores.
        limits: see `StreamLimits`.
        delay_s: how long the client has to wait until it may send so many entries, seconds.
        cut_off: ends the call of a client that takes no answers.
    """

    def __init__(
        self, intake: Intake, limits: StreamLimits, delay_s: Callable[[int], float], cut_off: Callable[[], object]
    ) -> None:
        self._intake, self._limits = intake, limits
        self._delay_s, self._cut_off = delay_s, cut_off
        self._changed = threading.Condition()
        self._unanswered = 0  # entries that were read and whose answers the client has not taken
        self._pending: dict[_Pending, None] = {}  # submitted, oldest first
        self._settled: deque[_Pending] = deque()  # to be answered
        self._handed_s: float | None = None  # since when gRPC has been holding an answer
        self._reading, self._stopping, self._left = True, False, False
        self._error: Exception | None = None

    def answers(self, requests: Iterable[PublishStreamRequest]) -> Iterator[PublishStreamResponse]:
        """Answer requests until they end, the client leaves, or `stop`; then raise what ended the reading early."""
        # In the caller's context: what is read belongs to the same request.
        read = partial(copy_context().run, self._read, requests)
        threading.Thread(target=read, name="publish-stream", daemon=True).start()
        while (settled := self._next()) is not None:
            yield PublishStreamResponse(sequence=settled.sequence, results=settled.submission.answer())
            self._taken(settled)
        if self._error is not None and not self._left:
            raise self._error

    def stop(self, error: Exception | None = None) -> None:
        """Read no more; answer what was read, then end with `error`, by default Unavailable."""
        gone = Unavailable("the gateway stops: open another stream, send again what has no answer")
        with self._changed:
            if self._reading:
                self._error = self._error or error or gone
            self._stopping = True
            self._changed.notify_all()
        self._intake.budget.wake()

    def leave(self) -> None:
        """The client has gone: end without more answers."""
        with self._changed:
            self._left = True
            self._changed.notify_all()
        self._intake.budget.wake()

    # The reading side.

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
        """Submit the request when it may be; False if the stream is over before."""
        check_length(request.entries)
        entries, timeout_s = len(request.entries), self._intake.rules.kafka_timeout_s
        if not (self._rate_allows(entries) and self._window_opens(entries)):
            return False
        try:
            submission = self._intake.submit_when_room(self._intake.judge(request.entries), timeout_s, self._is_over)
        except Exception:
            self._counted(-entries)
            raise
        self._await(_Pending(request.sequence, entries, submission, time.monotonic() + timeout_s))
        return True

    def _rate_allows(self, entries: int) -> bool:
        while delay_s := self._delay_s(entries):
            with self._changed:
                if self._changed.wait_for(self._is_over, delay_s):
                    return False
        return True

    def _window_opens(self, entries: int) -> bool:
        """Count the entries as unanswered once the window has room for them; False if the stream is over before."""
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

    def _await(self, pending: "_Pending") -> None:
        with self._changed:
            self._pending[pending] = None
            self._changed.notify_all()  # there is a deadline to keep
        pending.submission.known.add_done_callback(lambda _: self._settle(pending))

    # The answering side.

    def _next(self) -> "_Pending | None":
        """The next request to answer; None when there are none to come."""
        with self._changed:
            while not self._left:
                self._expire()
                if self._settled:
                    self._handed_s = time.monotonic()
                    return self._settled.popleft()
                if not self._unanswered and (self._stopping or not self._reading):
                    return None
                oldest = next(iter(self._pending), None)
                self._changed.wait(None if oldest is None else max(0.0, oldest.deadline_s - time.monotonic()))
        return None

    def _taken(self, settled: "_Pending") -> None:
        """The answer is on its way to the client."""
        with self._changed:
            self._handed_s = None
        self._counted(-settled.entries)

    def _settle(self, pending: "_Pending") -> None:
        with self._changed:
            if pending in self._pending:  # else its time was up before
                del self._pending[pending]
                self._settled.append(pending)
                self._changed.notify_all()

    def _expire(self) -> None:
        """What Kafka has not confirmed in time is answered as it is."""
        now_s = time.monotonic()
        while self._pending and (oldest := next(iter(self._pending))).deadline_s <= now_s:
            del self._pending[oldest]
            self._settled.append(oldest)

    def _counted(self, entries: int) -> None:
        with self._changed:
            self._unanswered += entries
            self._changed.notify_all()

    def _is_over(self) -> bool:
        return self._stopping or self._left


@dataclass(eq=False)
class _Pending:
    """A request on its way.

    Args:
        sequence: the client's number for it.
        entries: how many entries it has.
        submission: what was submitted.
        deadline_s: when it is answered as it is, on the monotonic clock.
    """

    sequence: int
    entries: int
    submission: Submission
    deadline_s: float
