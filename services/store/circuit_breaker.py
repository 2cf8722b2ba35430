"""A circuit breaker for a store: after repeated failures reads fail at once, and one probe at a time tests recovery.

Without it every read of every request waits for the time-out; with it one read per pause does, the others fail at
once and their requests are ranked without the store. The pattern is Nygard's (Release It!, 2007): closed (all calls
pass), open (none does), half-open (one does, the probe, whose outcome closes or opens the circuit).
"""

import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from services.features.rows import Block
from services.features.schema import View
from services.store.protocol import Key, ReadRequest, RowStore, StoreUnavailable
from services.store.read_deadline import read_time_left_s

JITTER = 0.5
"""Pauses are longer by a random share of up to this: many servers must not probe a store at the same moment."""

FAIR_READ_S = 0.05
"""A read that misses its deadline sooner than this was given too little time to count as a failure of the store."""


class CircuitState:
    """Whether calls may pass, by the outcome of the last ones. Safe between threads; does no I/O.

    Args:
        pause_s: seconds without calls before the probe, and up to `JITTER` more.
        failures: failed or slow calls in a row that open the circuit.
        slow_s: seconds from which a call that succeeds counts as failed.
        clock: monotonic seconds.
        uniform: random number in [0, 1).
    """

    def __init__(
        self,
        pause_s: float,
        failures: int = 1,
        slow_s: float = float("inf"),
        clock: Callable[[], float] = time.monotonic,
        uniform: Callable[[], float] = random.random,
    ) -> None:
        self._pause_s, self._max_failures, self._slow_s = pause_s, failures, slow_s
        self._clock, self._uniform = clock, uniform
        self._lock = threading.Lock()
        self._failures_in_a_row = 0
        self._open_until: float | None = None
        self._probing = False

    @contextmanager
    def guard(self) -> Iterator[None]:
        """Run a call and record its outcome: StoreUnavailable is a failure, any other error counts as an answer.

        Raises StoreUnavailable at once while the circuit is open.
        """
        begun_s, probe = self._clock(), self._enter()
        succeeded: bool | None = False
        try:
            yield
            succeeded = self._clock() - begun_s < self._slow_s
        except StoreUnavailable:
            if read_time_left_s() == 0 and self._clock() - begun_s < FAIR_READ_S:
                succeeded = None
            raise
        except Exception:
            succeeded = True
            raise
        finally:
            self._leave(succeeded=succeeded, probe=probe)

    def _enter(self) -> bool:
        """Whether the call is the probe. Raises StoreUnavailable if the call must not be made."""
        if self._open_until is None:  # the usual case; a read of one reference needs no lock
            return False
        with self._lock:
            if self._open_until is None:
                return False
            if self._probing or self._clock() < self._open_until:
                raise StoreUnavailable("online store: not tried, the circuit breaker is open after failed reads")
            self._probing = True
            return True

    def _leave(self, *, succeeded: bool | None, probe: bool) -> None:
        """Record the outcome of a call; None is an outcome that says nothing about the store."""
        if not probe and (succeeded is None or (succeeded and not self._failures_in_a_row)):
            return
        with self._lock:
            if probe:
                self._probing = False
            if succeeded is None or (not probe and self._open_until is not None):
                return  # no evidence, or begun before the circuit opened: the probe's outcome decides
            self._failures_in_a_row = 0 if succeeded else self._failures_in_a_row + 1
            if succeeded:
                self._open_until = None
            elif self._failures_in_a_row >= self._max_failures:
                self._open_until = self._clock() + self._pause_s * (1 + JITTER * self._uniform())


class CircuitBreaker:
    """A RowStore that reads another store through a circuit; writes and deletions bypass it.

    Args:
        store: performs the calls.
        circuit: decides whether a read is tried.
    """

    def __init__(self, store: RowStore, circuit: CircuitState) -> None:
        self._store, self.circuit = store, circuit

    def read_blocks(self, requests: Sequence[ReadRequest]) -> list[Block]:
        """See `RowStore`. Raises StoreUnavailable at once while the circuit is open."""
        with self.circuit.guard():
            return self._store.read_blocks(requests)

    def write(self, keys: Sequence[Key], block: Block) -> None:
        """See `RowStore`."""
        self._store.write(keys, block)

    def delete(self, view: View, keys: Sequence[Key], position: Sequence[int]) -> None:
        """See `RowStore`."""
        self._store.delete(view, keys, position)
