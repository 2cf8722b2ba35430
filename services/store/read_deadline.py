"""The deadline of reads of the online store, where it is shorter than the connection's time-out.

It is a context variable, as gRPC's deadlines are, and not an argument: the circuit breaker and the metered store
between a request and the socket have no use for it.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_deadline_s: ContextVar[float | None] = ContextVar("deadline_s", default=None)


@contextmanager
def read_deadline(timeout_s: float) -> Iterator[None]:
    """Reads of this thread raise StoreUnavailable after `timeout_s` seconds; an outer, earlier deadline still holds.

    A connection that has to be made first may take its own time-out.
    """
    outer, deadline_s = _deadline_s.get(), time.monotonic() + timeout_s
    token = _deadline_s.set(deadline_s if outer is None else min(outer, deadline_s))
    try:
        yield
    finally:
        _deadline_s.reset(token)


def read_time_left_s() -> float | None:
    """Seconds until the deadline, not less than 0; None without a deadline."""
    deadline_s = _deadline_s.get()
    return None if deadline_s is None else max(0.0, deadline_s - time.monotonic())
