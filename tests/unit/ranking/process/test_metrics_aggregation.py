"""What workers tell their supervisor, over real pipes."""

from multiprocessing import Pipe

from prometheus_client import CollectorRegistry, Counter, Gauge

from services.ranking.process.metrics_aggregation import Gathered, Telling


class Worker:
    """A worker's end, with something to count."""

    def __init__(self, gathered: Gathered, pid: int) -> None:
        ours, theirs = Pipe()
        gathered.started(pid, ours)
        self.pipe, self.telling = theirs, Telling(theirs)
        self.calls = Counter("calls", "Calls.", registry=self.telling.registry)
        self.waiting = Gauge("waiting", "Now.", registry=self.telling.registry)


def registry_of(gathered: Gathered) -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(gathered)
    return registry


def test_every_look_asks_all_workers() -> None:
    """How things stand now."""
    gathered = Gathered()
    registry, workers = registry_of(gathered), [Worker(gathered, pid) for pid in (1, 2)]
    for expected in (2, 4):
        for worker in workers:
            worker.calls.inc()
        assert expected == registry.get_sample_value("calls_total")


def test_last_words_count_on() -> None:
    """What a worker said at its end, unasked; its gauges end with it."""
    gathered = Gathered()
    registry, workers = registry_of(gathered), [Worker(gathered, pid) for pid in (1, 2)]
    for worker in workers:
        worker.calls.inc(3)
        worker.waiting.set(1)
    workers[0].telling.tell()
    gathered.gone(1)
    assert (6, 1) == (registry.get_sample_value("calls_total"), registry.get_sample_value("waiting"))


def test_a_worker_that_hangs_or_died_counts_as_when_it_last_answered() -> None:
    """So the sum never falls, and a look takes no longer than the time-out."""
    gathered = Gathered()
    (ours, theirs), registry, told = Pipe(), registry_of(gathered), CollectorRegistry()
    gathered.started(1, ours)
    Counter("calls", "Calls.", registry=told).inc(5)
    theirs.send(list(told.collect()))
    assert 5 == registry.get_sample_value("calls_total")
    theirs.close()
    assert 5 == registry.get_sample_value("calls_total")
    gathered.gone(1)
    assert 5 == registry.get_sample_value("calls_total")
