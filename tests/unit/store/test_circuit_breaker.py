"""The circuit breaker, with a clock and a random number that the tests set."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from services.features.config import FeatureConfig
from services.features.schema import build_schema
from services.store.circuit_breaker import CircuitBreaker, CircuitState
from services.store.memory import MemoryRowStore
from services.store.protocol import StaleSchema, StoreUnavailable, read_rows
from services.store.read_deadline import read_deadline

VIEW = build_schema(FeatureConfig())["user"]


class FailingStore(MemoryRowStore):
    """Raises `failure` while it is set; a read takes `takes_s` seconds."""

    def __init__(self) -> None:
        super().__init__()
        self.failure: Exception | None = StoreUnavailable("away")
        self.reads, self.now_s, self.takes_s = 0, 0.0, 0.0

    def read_blocks(self, requests):
        self.reads += 1
        self.now_s += self.takes_s
        if self.failure:
            raise self.failure
        return super().read_blocks(requests)


def breaker(store: FailingStore, failures: int = 3, slow_s: float = 1.0, chance: float = 0.0) -> CircuitBreaker:
    """A breaker with a pause of a second."""
    return CircuitBreaker(store, CircuitState(1.0, failures, slow_s, lambda: store.now_s, lambda: chance))


def outcome(breaker: CircuitBreaker) -> str:
    """The outcome of a read: the error's text, or that the store was not called."""
    try:
        read_rows(breaker, VIEW, [("u",)])
    except (StoreUnavailable, StaleSchema) as error:
        return str(error).split(":")[-1].strip().split(",")[0]
    return "read"


def test_consecutive_failures_open_the_circuit() -> None:
    """While it is open, the store is not called; one success in between resets the count."""
    store = FailingStore()
    tried = breaker(store)
    assert ["away", "away"] == [outcome(tried) for _ in range(2)]
    store.failure = None
    assert "read" == outcome(tried)
    store.failure = StoreUnavailable("away")
    assert ["away", "away", "away", "not tried", "not tried"] == [outcome(tried) for _ in range(5)]
    assert 6 == store.reads


def test_after_the_pause_one_probe_decides() -> None:
    """A failed probe opens the circuit for another pause, a successful one closes it."""
    store = FailingStore()
    tried = breaker(store, failures=2)
    assert ["away", "away", "not tried"] == [outcome(tried) for _ in range(3)]
    store.now_s = 1.0
    assert ["away", "not tried"] == [outcome(tried) for _ in range(2)]
    store.failure, store.now_s = None, 2.0
    assert ["read", "read"] == [outcome(tried) for _ in range(2)]
    store.failure = StoreUnavailable("away")
    assert ["away", "away", "not tried"] == [outcome(tried) for _ in range(3)]


@pytest.mark.parametrize(("now_s", "expected"), [(1.24, "not tried"), (1.26, "away")])
def test_jitter_makes_the_pause_longer(now_s: float, expected: str) -> None:
    """By up to half of the pause."""
    store = FailingStore()
    tried = breaker(store, failures=1, chance=0.5)
    outcome(tried)
    store.now_s = now_s
    assert expected == outcome(tried)


def test_other_reads_do_not_wait_for_the_probe() -> None:
    """While it runs, other reads fail at once."""
    store, begun, go = FailingStore(), threading.Event(), threading.Event()
    tried = breaker(store, failures=1)
    outcome(tried)
    store.failure, store.now_s = None, 5.0

    def slow_probe() -> None:
        with tried.circuit.guard():
            begun.set()
            assert go.wait(300)

    with ThreadPoolExecutor(1) as pool:
        probe = pool.submit(slow_probe)
        assert begun.wait(300)
        assert "not tried" == outcome(tried)
        go.set()
        probe.result()
    assert "read" == outcome(tried)


def test_slow_reads_count_as_failures_and_still_return() -> None:
    """A slow store also opens the circuit."""
    store = FailingStore()
    store.failure, store.takes_s = None, 1.5
    tried = breaker(store)
    assert ["read", "read", "read", "not tried"] == [outcome(tried) for _ in range(4)]


@pytest.mark.parametrize(("took_s", "expected"), [(0.01, "away"), (0.06, "not tried")])
def test_reads_past_their_deadline_do_not_open_the_circuit(took_s: float, expected: str) -> None:
    """Unless the deadline left enough time: one short deadline must not block all other reads."""
    store = FailingStore()
    store.takes_s = took_s
    tried = breaker(store, failures=3)
    with read_deadline(0):
        assert ["away"] * 3 == [outcome(tried) for _ in range(3)]
        assert expected == outcome(tried)


def test_a_probe_past_its_deadline_leaves_the_decision_to_the_next_one() -> None:
    """The next probe runs at once."""
    store = FailingStore()
    tried = breaker(store, failures=1)
    outcome(tried)
    store.now_s = 1.0
    with read_deadline(0):
        assert "away" == outcome(tried)
    store.failure = None
    assert ["read", "read"] == [outcome(tried) for _ in range(2)]


def test_an_error_of_another_kind_counts_as_a_response() -> None:
    """The store responds: as the outcome of the probe, such an error closes the circuit."""
    store = FailingStore()
    tried = breaker(store, failures=1)
    outcome(tried)
    store.failure, store.now_s = StaleSchema("stale"), 2.0
    assert ["stale"] * 3 == [outcome(tried) for _ in range(3)]


def test_calls_begun_before_it_opened_do_not_extend_the_pause() -> None:
    """Their late time-outs are ignored."""
    store = FailingStore()
    tried = breaker(store, failures=1)
    late = tried.circuit.guard()
    late.__enter__()
    outcome(tried)
    store.now_s = 0.9
    late.__exit__(StoreUnavailable, StoreUnavailable("late"), None)
    store.now_s = 1.0
    assert "away" == outcome(tried)
