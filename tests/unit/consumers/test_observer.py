"""A consumer's metrics, health and log while the loop runs."""

import json
import logging
import random
import threading
from collections import Counter

import pytest
from prometheus_client import CollectorRegistry

from services.consumers.dead_letters.record import DeadLetter
from services.consumers.loop import BatchResult, ConsumerLoop
from services.consumers.observer import ConsumerObserver
from services.kafka.connection import KafkaUnavailable
from services.kafka.record_source import LostPartitions, MemoryRecordSource, Record
from services.server.logging import JsonFormatter
from services.store.protocol import FencedWrite, StoreUnavailable

NOW_S = 1_700_000_000.0
RECORDS = [Record("crossrec.behavior", 0, n, b"u", b"v", time_s=NOW_S - 10 + n) for n in range(6)]


class Clock:
    def __init__(self) -> None:
        self.now_s = NOW_S

    def __call__(self) -> float:
        return self.now_s


class Stop(threading.Event):
    """Its waits return at once."""

    def wait(self, timeout: float | None = None) -> bool:
        del timeout
        return self.is_set()


class FakeHandler:
    def __init__(self) -> None:
        self.failures: list[Exception] = []
        self.counts: Counter[tuple[str, str]] = Counter()
        self.dead: list[int] = []

    def fold(self, records: list[Record]) -> BatchResult:
        if self.failures:
            raise self.failures.pop(0)
        dead_letters = [DeadLetter(records[n], f"behavior_event.user_id: {n}") for n in self.dead]
        return BatchResult(dead_letters=dead_letters, counts=self.counts)


class Scene:
    """A loop over RECORDS with an observer."""

    def __init__(self) -> None:
        self.clock, self.registry = Clock(), CollectorRegistry()
        self.observer = ConsumerObserver("behavior", self.registry, self.clock)
        self.log, self.handler = MemoryRecordSource(RECORDS, batch=3), FakeHandler()
        self.loop = ConsumerLoop(
            self.log, self.handler, "crossrec.dead-letter", Stop(), random.Random(0), self.observer
        )

    def value(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(f"crossrec_consumer_{name}", {"kind": "behavior", **labels})


@pytest.fixture
def scene() -> Scene:
    return Scene()


def lines(caplog: pytest.LogCaptureFixture) -> list[dict[str, object]]:
    return [json.loads(JsonFormatter().format(record)) for record in caplog.records]


def test_events_count_when_they_are_committed(scene: Scene) -> None:
    """By type and outcome as the handler reports them; records without a reported outcome count as folded."""
    scene.handler.counts = Counter({("click", "folded"): 1, ("click", "repeated"): 1})
    scene.handler.dead = [2]
    scene.log.commit_failures = [LostPartitions("reassigned")]
    scene.loop.step()
    assert scene.value("events_total", type="click", outcome="folded") is None
    scene.loop.step()
    scene.handler.counts, scene.handler.dead = Counter(), []
    scene.loop.step()
    assert 1 == scene.value("events_total", type="click", outcome="folded")
    assert 1 == scene.value("events_total", type="click", outcome="repeated")
    assert 3 == scene.value("events_total", type="any", outcome="folded")
    assert 1 == scene.value("events_total", type="any", outcome="dead_lettered")
    assert 1 == scene.value("dead_letters_total", reason="behavior_event.user_id")
    assert 6 == scene.value("batch_records_sum")
    assert 10 + 7 == scene.value("delay_seconds_sum")


def test_lag_and_freshness_are_as_of_the_scrape(scene: Scene) -> None:
    """While the store is unavailable the lag in seconds grows; after the commit, freshness is the records' age."""
    seen: list[tuple[float | None, float | None]] = []

    def look(_: float) -> bool:
        seen.append((scene.value("lag_records", partition="0"), scene.value("lag_seconds", partition="0")))
        scene.clock.now_s += 5
        return True

    scene.log.keep_alive = look  # type: ignore[method-assign]
    scene.handler.failures = [StoreUnavailable("away")] * 2
    scene.observer.on_positions({0: (3, 6)})
    assert scene.value("freshness_seconds") is None
    scene.loop.step()
    assert [(6, 10), (6, 15)] == seen
    assert (3, 0, 18) == (
        scene.value("lag_records", partition="0"),
        scene.value("lag_seconds", partition="0"),
        scene.value("freshness_seconds"),
    )


def test_a_series_of_failures_is_logged_in_two_lines(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    """One at its start, one at its end with duration and number of failures; all failures are counted."""
    scene.handler.failures = [StoreUnavailable("away")] * 4
    scene.log.keep_alive = lambda _: setattr(scene.clock, "now_s", scene.clock.now_s + 2) or True  # type: ignore[method-assign]
    with caplog.at_level(logging.INFO, "services.consumers"):
        scene.loop.step()
        scene.loop.step()
    begin, end = lines(caplog)
    assert ("store_unavailable", "behavior", "away") == (begin["event"], begin["kind"], begin["reason"])
    assert ("recovered", ["store unavailable"], 4) == (end["event"], end["after"], end["failures"])
    assert end["took_s"] == scene.clock.now_s - NOW_S > 0
    assert 4 == scene.value("failures_total", what="store")


def test_an_empty_poll_ends_a_series(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    """Kafka responds without records: that is a success."""
    scene.log.records = []
    scene.observer.on_assigned([0])
    scene.log.poll_failures = [KafkaUnavailable("down")]
    scene.loop.step()
    assert not scene.observer.health.ready().ok
    with caplog.at_level(logging.INFO, "services.consumers"):
        scene.loop.step()
    assert scene.observer.health.ready().ok
    assert ["kafka_unavailable", "recovered"] == [line["event"] for line in lines(caplog)]


def test_fenced_writes_and_dropped_batches_are_counted(scene: Scene) -> None:
    """A fenced write drops its batch; partitions that move drop it too."""
    scene.handler.failures = [FencedWrite("1 rows"), StoreUnavailable("away")]
    scene.log.rebalances = [False]
    scene.loop.step()
    scene.loop.step()
    assert (2, 1) == (scene.value("batches_dropped_total"), scene.value("fenced_writes_total"))


def test_a_rebalance_is_logged_in_one_line(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    """With the assigned partitions and the duration of the rebalance."""
    with caplog.at_level(logging.INFO, "services.consumers"):
        scene.observer.on_assigned([0, 1])
        scene.observer.on_revoked()
        scene.clock.now_s += 1.5
        scene.observer.on_assigned([1])
    found = [(line["event"], line["partitions"], line["took_s"]) for line in lines(caplog)]
    assert [("rebalanced", [0, 1], None), ("rebalanced", [1], 1.5)] == found
    assert 2 == scene.value("rebalances_total")


def test_a_stop_is_reported_by_the_health(scene: Scene) -> None:
    """Before the consumer leaves the group."""
    scene.observer.on_assigned([0])
    scene.loop._stop.set()
    scene.loop.run()
    assert ["stopping"] == scene.observer.health.ready().reasons
