"""What can be wrong with a consumer, by alert: /metrics before it is caused and meanwhile."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from services.kafka.connection import KafkaUnavailable
from services.store.protocol import FencedWrite, StoreUnavailable
from tests.contract.alert_rules import Looks, text_of
from tests.unit.consumers.test_observer import RECORDS, Scene


@dataclass
class Consumer:
    """A consumer that has folded its first batch, and the text of its metrics then."""

    scene: Scene = field(default_factory=Scene)
    before: str = ""

    def __post_init__(self) -> None:
        self.scene.observer.on_assigned([0])
        self.scene.clock.now_s = RECORDS[2].time_s + 1
        self.scene.observer.on_positions({0: (3, 3)})
        self.scene.handler.counts = Counter({("click", "folded"): 3})
        self.scene.loop.step()
        self.before = text_of(self.scene.registry)

    def looks(self) -> Looks:
        return Looks(self.before, text_of(self.scene.registry))


def folding_stands_still(_: Path) -> Looks:
    consumer = Consumer()
    scene = consumer.scene
    scene.handler.failures = [StoreUnavailable("away")]
    texts: list[Looks] = []

    def look(_seconds: float) -> bool:
        scene.observer.on_positions({0: (6, 6)})
        scene.clock.now_s += 120
        texts.append(consumer.looks())
        return True

    scene.log.keep_alive = look  # type: ignore[method-assign]
    scene.loop.step()
    return texts[0]


def nobody_does_anything(_: Path) -> Looks:
    consumer = Consumer()
    consumer.scene.clock.now_s += 1200
    return consumer.looks()


def records_are_bad(_: Path) -> Looks:
    consumer = Consumer()
    consumer.scene.handler.counts, consumer.scene.handler.dead = Counter({("click", "folded"): 2}), [1]
    consumer.scene.loop.step()
    return consumer.looks()


def writes_fail(_: Path) -> Looks:
    consumer = Consumer()
    consumer.scene.log.keep_alive = lambda _: True  # type: ignore[method-assign]
    consumer.scene.handler.failures = [StoreUnavailable("away")]
    consumer.scene.loop.step()
    return consumer.looks()


def polls_fail(_: Path) -> Looks:
    consumer = Consumer()
    consumer.scene.log.poll_failures = [KafkaUnavailable("away")]
    consumer.scene.loop.step()
    return consumer.looks()


def consumers_come_and_go(_: Path) -> Looks:
    consumer = Consumer()
    for _ in range(8):
        consumer.scene.observer.on_revoked()
        consumer.scene.observer.on_assigned([0])
    return consumer.looks()


def rows_are_ahead(_: Path) -> Looks:
    consumer = Consumer()
    consumer.scene.handler.failures = [FencedWrite("1 rows")]
    consumer.scene.loop.step()
    return consumer.looks()


SCENES = {
    "ConsumerBehind": folding_stands_still,
    "ConsumerSilent": nobody_does_anything,
    "ConsumerDeadLetters": records_are_bad,
    "ConsumerStoreAway": writes_fail,
    "ConsumerKafkaAway": polls_fail,
    "ConsumerRebalances": consumers_come_and_go,
    "ConsumerFenced": rows_are_ahead,
}
