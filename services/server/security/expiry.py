"""Ends long-lived streams when their token expires or is withdrawn."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from services.errors import RequestError
from services.server.security.caller import Grant

RECHECK_S = 10.0
"""Longest time until a withdrawn token ends an idle stream, seconds."""


@contextmanager
def end_on_expiry(
    grant: Grant | None,
    end: Callable[[RequestError], object],
    recheck_s: float = RECHECK_S,
    clock_s: Callable[[], float] = time.time,
) -> Iterator[None]:
    """Inside the block, call `end`, once and from another thread, when the grant's token expires or is withdrawn."""
    if grant is None:
        yield
        return
    over = threading.Event()

    def watch() -> None:
        while not over.wait(min(recheck_s, max(0.0, grant.caller.expires_s - clock_s()))):
            try:
                grant.check()
            except RequestError as error:
                end(error)
                return

    thread = threading.Thread(target=watch, name="token-expiry", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
