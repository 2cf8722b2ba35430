"""Memory of processes."""

import os

from tests.bench.processes import memory_bytes, tree_memory_bytes

MIB = 1 << 20


def test_memory_is_that_of_the_process() -> None:
    assert 0 < memory_bytes(os.getpid(), "VmRSS") <= memory_bytes(os.getpid(), "VmHWM")


def test_memory_of_a_process_tree_includes_the_process() -> None:
    assert 10 * MIB < tree_memory_bytes(os.getpid())
