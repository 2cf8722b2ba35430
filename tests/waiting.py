"""Waiting for a condition that other threads or processes bring about."""

import faulthandler
import sys
import threading
import time
from collections.abc import Callable


def wait_until(
    condition: Callable[[], object], *, timeout_s: float = 600.0, interval_s: float = 0.02, what: str = ""
) -> None:
    """Return once the condition holds, asked every `interval_s` seconds; AssertionError after `timeout_s` seconds.

    Then the stacks of all threads are printed: one of them is where the wait comes from.
    """
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            faulthandler.dump_traceback(sys.__stderr__)
            raise AssertionError(f"waited {timeout_s:g} s in vain {what and 'for '}{what}")
        threading.Event().wait(interval_s)
