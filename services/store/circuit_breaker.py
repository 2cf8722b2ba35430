"""A circuit breaker before a store: what fails over and over is given a rest, and then tried by one call alone.

Without it every read of every request waits out the time-out; with it one read per pause does, the others fail
at once and their requests are answered from what is known. The pattern is Nygard's (Release It!, 2007): closed
(all calls pass), open (none does), half-open (one does, the probe, whose outcome closes or opens).
"""

import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from services.features.rows import Block, Row
from services.features.schema import View
from services.store.folding import read_blocks
from services.store.protocol import Key, RowStore, StoreUnavailable
from services.store.read_deadline import patience_left_s

JITTER = 0.5
"""Pauses are up to this share longer, by chance: many servers do not come back to a store at the same moment."""

FAIR_S = 0.05
"""A read given up sooner, because its reader had no more patience, says nothing about the store."""


class Circuit:
    """Whether calls may pass, by how the last ones went. Safe between threads; does no I/O.

    Args:
        pause_s: seconds without calls before the probe, and up to `JITTER` more.
        failures: failed or slow calls in a row that open it.
        slow_s: seconds from which a call that succeeds counts as failed.
        clock: monotonic seconds.
        chance: uniform in [0, 1).
    """

    def __init__(
        self,
        pause_s: float,
        failures: int = 1,
        slow_s: float = float("inf"),
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._pause_s, self._failures, self._slow_s = pause_s, failures, slow_s
        self._clock, self._chance = clock, chance
        self._lock = threading.Lock()
        self._bad_in_a_row = 0
        self._open_until: float | None = None
        self._probing = False

    @contextmanager
    def passage(self) -> Iterator[None]:
        """Let a call through and learn from it: StoreUnavailable is a failure, any other error is an answer.

        Raises StoreUnavailable at once while the store rests.
        """
        begun, probe = self._clock(), self._enter()
        good: bool | None = False
        try:
            yield
            good = self._clock() - begun < self._slow_s
        except StoreUnavailable:
            if patience_left_s() == 0 and self._clock() - begun < FAIR_S:
                good = None
            raise
        except Exception:
            good = True
            raise
        finally:
            self._leave(good=good, probe=probe)

    def _enter(self) -> bool:
        """Whether the call is the probe. Raises StoreUnavailable if it must not be made."""
        if self._open_until is None:  # as nearly always; a read of one reference needs no lock
            return False
        with self._lock:
            if self._open_until is None:
                return False
            if self._probing or self._clock() < self._open_until:
                raise StoreUnavailable("online store: not tried, it could not be read a moment ago")
            self._probing = True
            return True

    def _leave(self, *, good: bool | None, probe: bool) -> None:
        if not probe and (good is None or (good and not self._bad_in_a_row)):
            return
        with self._lock:
            if probe:
                self._probing = False
            if good is None or (not probe and self._open_until is not None):
                return  # says nothing, or was begun before others opened it: the probe says more
            self._bad_in_a_row = 0 if good else self._bad_in_a_row + 1
            if good:
                self._open_until = None
            elif self._bad_in_a_row >= self._failures:
                self._open_until = self._clock() + self._pause_s * (1 + JITTER * self._chance())


class Breaker:
    """A RowStore that passes reads on to another store, through a circuit.

    Args:
        store: does the reading.
        circuit: says whether it is tried.
    """

    def __init__(self, store: RowStore, circuit: Circuit) -> None:
        self._store, self.circuit = store, circuit

    def read(self, view: View, keys: Sequence[Key]) -> list[Row | None]:
        """The rows in the order of the keys. Raises StoreUnavailable at once while the store rests."""
        with self.circuit.passage():
            return self._store.read(view, keys)

    def read_blocks(self, asked: Sequence[tuple[View, Sequence[Key]]]) -> list[Block]:
        """Rows of several views likewise."""
        with self.circuit.passage():
            return read_blocks(self._store, asked)

    def write(self, keys: Sequence[Key], block: Block) -> None:
        """As the other store does."""
        self._store.write(keys, block)

    def delete(self, view: View, keys: Sequence[Key], position: Sequence[int]) -> None:
        """As the other store does."""
        self._store.delete(view, keys, position)
