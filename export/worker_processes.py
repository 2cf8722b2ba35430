"""Worker processes of a command: they end with it."""

import multiprocessing
import os
import threading
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.process import BaseProcess


def open_pool(workers: int) -> ProcessPoolExecutor:
    """A pool of processes. They are spawned, not forked: libraries such as ONNX Runtime and torch have threads."""
    return ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), initializer=_end_with_parent)


def _end_with_parent() -> None:
    """Let this process end, at once and without a word, when the one that started it does: SIGTERM ends that one alone.

    Without it, workers would go on writing, and then report a broken pipe.
    """
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_exit_after, args=(parent,), daemon=True).start()


def _exit_after(process: BaseProcess) -> None:
    process.join()
    os._exit(1)
