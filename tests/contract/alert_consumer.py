"""Faults of a consumer, by alert: /metrics before the fault and during it."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from services.kafka.connection import KafkaUnavailable
from services.store.protocol import FencedWrite, RowsLost, StoreUnavailable
from tests.contract.alert_rules import Scrapes, text_of
from tests.unit.consumers.test_observer import RECORDS, Scene


@dataclass
class Consumer:
    """A consumer that has folded its first batch, and its metrics at that time."""

    scene: Scene = field(default_factory=Scene)
    before: str = ""

    def __post_init__(self) -> None:
        self.scene.observer.on_assigned([0])
        self.scene.clock.now_s = RECORDS[2].time_s + 1
        self.scene.observer.on_positions({0: (3, 3)})
        self.scene.handler.counts = Counter({("click", "folded"): 3})
        self.scene.loop.step()
        self.before = text_of(self.scene.registry)

    def scrapes(self) -> Scrapes:
        return Scrapes(self.before, text_of(self.scene.registry))


def folding_stalls(_: Path) -> Scrapes:
    consumer = Consumer()
    scene = consumer.scene
    scene.handler.failures = [StoreUnavailable("away")]
    texts: list[Scrapes] = []

    def scrape(_seconds: float) -> bool:
        scene.observer.on_positions({0: (6, 6)})
        scene.clock.now_s += 120
        texts.append(consumer.scrapes())
        return True

    scene.log.keep_alive = scrape  # type: ignore[method-assign]
    scene.loop.step()
    return texts[0]


def consumer_is_idle(_: Path) -> Scrapes:
    consumer = Consumer()
    consumer.scene.clock.now_s += 1200
    return consumer.scrapes()


def records_are_bad(_: Path) -> Scrapes:
    consumer = Consumer()
    consumer.scene.handler.counts, consumer.scene.handler.dead = Counter({("click", "folded"): 2}), [1]
    consumer.scene.loop.step()
    return consumer.scrapes()


def writes_fail(_: Path) -> Scrapes:
    consumer = Consumer()
    consumer.scene.log.keep_alive = lambda _: True  # type: ignore[method-assign]
    consumer.scene.handler.failures = [StoreUnavailable("away")]
    consumer.scene.loop.step()
    return consumer.scrapes()


def polls_fail(_: Path) -> Scrapes:
    consumer = Consumer()
    consumer.scene.log.poll_failures = [KafkaUnavailable("away")]
    consumer.scene.loop.step()
    return consumer.scrapes()


def consumers_rebalance(_: Path) -> Scrapes:
    consumer = Consumer()
    for _ in range(8):
        consumer.scene.observer.on_revoked()
        consumer.scene.observer.on_assigned([0])
    return consumer.scrapes()


def rows_are_ahead(_: Path) -> Scrapes:
    consumer = Consumer()
    consumer.scene.handler.failures = [FencedWrite("1 rows")]
    consumer.scene.loop.step()
    return consumer.scrapes()


def a_batch_cannot_be_read(_: Path) -> Scrapes:
    consumer = Consumer()
    consumer.scene.observer.on_stopped(["unreadable batch: t, partition 0"])
    return consumer.scrapes()


def records_expire(_: Path) -> Scrapes:
    consumer = Consumer()
    consumer.scene.observer.on_expired(0, 1000)
    return consumer.scrapes()


def rows_are_lost(_: Path) -> Scrapes:
    consumer = Consumer()
    consumer.scene.handler.failures = [RowsLost("behavior, partition 0")]
    consumer.scene.loop.step()
    return consumer.scrapes()


SCENES = {
    "ConsumerBehind": folding_stalls,
    "ConsumerSilent": consumer_is_idle,
    "ConsumerDeadLetters": records_are_bad,
    "ConsumerStoreAway": writes_fail,
    "ConsumerKafkaAway": polls_fail,
    "ConsumerRebalances": consumers_rebalance,
    "ConsumerFenced": rows_are_ahead,
    "ConsumerPartitionStands": a_batch_cannot_be_read,
    "ConsumerRecordsExpired": records_expire,
    "ConsumerRowsLost": rows_are_lost,
}
