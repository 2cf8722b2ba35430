"""Waiting for a condition that other threads or processes bring about."""

import threading
import time
from collections.abc import Callable


def wait_until(
    condition: Callable[[], object], *, timeout_s: float = 600.0, interval_s: float = 0.02, what: str = ""
) -> None:
    """Return once the condition holds, asked every `interval_s` seconds; AssertionError after `timeout_s` seconds."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"waited {timeout_s:g} s in vain {what and 'for '}{what}"
        threading.Event().wait(interval_s)
