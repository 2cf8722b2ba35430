"""Waiting for what happens on other threads and in other processes."""

import threading
from collections.abc import Callable


def wait_until(condition: Callable[[], object]) -> None:
    """Ask again and again; the test's time-out bounds it."""
    while not condition():
        threading.Event().wait(0.005)
