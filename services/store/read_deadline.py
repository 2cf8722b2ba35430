"""How long who reads the online store wants to wait at most, where that is less than the connection's time-out.

It goes beside the calls, as gRPC's deadlines do, and not through every signature between a request and the socket:
breakers, blocks and measuring have no business with it.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_until_s: ContextVar[float | None] = ContextVar("until_s", default=None)


@contextmanager
def patience(seconds: float) -> Iterator[None]:
    """Reads of this thread raise StoreUnavailable when they have no answer in time; does not prolong an outer one.

    A connection that has to be made first may take its own time-out.
    """
    outer, until_s = _until_s.get(), time.monotonic() + seconds
    token = _until_s.set(until_s if outer is None else min(outer, until_s))
    try:
        yield
    finally:
        _until_s.reset(token)


def patience_left_s() -> float | None:
    """Seconds, not less than 0; None where nobody said anything."""
    until_s = _until_s.get()
    return None if until_s is None else max(0.0, until_s - time.monotonic())
