"""Gateway, consumers and ranking server in one process: events published over gRPC change rankings over gRPC."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np

from crossrec.events.v1.events_pb2 import BehaviorEvent, Entry, ItemUpdate, ScenarioUpdate
from crossrec.ranking.v1.ranking_pb2 import RankRequest, RankResponse
from services.consumers.activity import ActivityHandler
from services.consumers.behavior import ENTRIES, BehaviorHandler
from services.consumers.catalogue import ITEM_ENTRIES, SCENARIO_ENTRIES, ItemHandler, ScenarioHandler
from services.consumers.decoding import Decoder, TimeLimits
from services.features.encode import Tensors
from services.kafka.publisher import MemoryPublisher, OutgoingRecord
from services.kafka.record_source import OutputRecord, Record
from services.registry.model import Scores
from services.store.memory import MemoryRowStore
from services.text.protocol import HashingEncoder
from tests.contract import event_gateway, rank_server
from tests.contract.event_gateway import Gateway
from tests.contract.rank_server import ENCODER, NOW_S, SCHEMA, RankServer

ACTIVITY_TOPIC = "crossrec.activity"
EPOCH = 1


class AffineModel:
    """P and M affine in all features with fixed weights, as the reference model is: every feature counts."""

    version = "affine/0"
    vectors = ()

    def score(self, tensors: Tensors, target: np.ndarray, _left_s: float = 0.0) -> Scores:
        """M[i, j] from scenario and language of i and j; P[n, j] from all features, and L_uj times the item's text."""
        language = tensors.language[0]
        as_target = _weighed(tensors.scenario, 1.0) + _weighed(language, 2.0)
        as_source = _weighed(tensors.scenario, 3.0) + _weighed(language, 4.0)
        transfer = target @ _sigmoid(as_target[:, None] + as_source)
        context = _weighed(tensors.behavior[0], 5.0) + as_source
        item = _weighed(tensors.item, 6.0) + _weighed(tensors.item_text, 7.0)
        likeness = tensors.item_text @ language.T
        preference = _sigmoid(0.1 * (context + item[:, None] + _weighed(tensors.cross, 8.0)) + likeness)
        score = preference @ transfer
        return Scores(preference, transfer, score, score / transfer.sum())


def _weighed(values: np.ndarray, phase: float) -> np.ndarray:
    return values @ np.cos(phase * (1 + np.arange(values.shape[-1])))


def _sigmoid(values: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-values))


@dataclass
class LiveChain:
    """A running system without Kafka and Valkey.

    Args:
        gateway: accepts events.
        server: ranks.
        store: rows between them.
    """

    gateway: Gateway
    server: RankServer
    store: MemoryRowStore
    _offset: int = field(default=0)
    _followed: int = field(default=0)

    def publish(self, *entries: Entry) -> None:
        """Publish, and let every consumer fold the records."""
        results = self.gateway.publish(*entries)
        assert ["accepted"] * len(entries) == [result.WhichOneof("result") for result in results], results
        self.follow()

    def follow(self) -> None:
        """Let every consumer fold the records, from any client."""
        arrived = self.gateway.publisher.stored[self._followed :]
        self._followed += len(arrived)
        for record in arrived:
            self._fold(record)

    def rank(self, scenario_id: str, items: list[str], user_id: str = "ann") -> RankResponse:
        """All candidates, explained."""
        wanted = RankRequest(user_id=user_id, scenario_id=scenario_id, item_ids=items)
        wanted.options.explain = True
        return self.server.rank(wanted)

    def _fold(self, record: OutgoingRecord | OutputRecord) -> None:
        self._offset += 1
        read = Record(record.topic, 0, self._offset, record.key, record.value, list(record.headers))
        outcome = self._handler(record.topic).fold([read])
        assert [] == outcome.dead_letters
        for output in outcome.outputs:
            self._fold(output)

    def _handler(self, topic: str) -> ActivityHandler | BehaviorHandler | ItemHandler | ScenarioHandler:
        encoder = HashingEncoder(SCHEMA.config.text_dims)
        encoder.fingerprint = ENCODER
        if topic == ACTIVITY_TOPIC:
            return ActivityHandler(self.store, SCHEMA, EPOCH, TimeLimits(lambda: NOW_S, 300.0))
        if topic.endswith("behavior"):
            return BehaviorHandler(self.store, SCHEMA, encoder, _decoder(ENTRIES), ACTIVITY_TOPIC, lambda: 1, EPOCH)
        if topic.endswith("items"):
            return ItemHandler(self.store, SCHEMA, encoder, _decoder(ITEM_ENTRIES), EPOCH)
        return ScenarioHandler(self.store, SCHEMA, encoder, _decoder(SCENARIO_ENTRIES), EPOCH, most=64)


def _decoder(kinds: frozenset[str]) -> Decoder:
    return Decoder(kinds, SCHEMA.config, TimeLimits(lambda: NOW_S, 300.0))


@contextmanager
def running() -> Iterator[LiveChain]:
    """An empty system."""
    store = MemoryRowStore()
    with (
        event_gateway.running(MemoryPublisher()) as gateway,
        rank_server.running(store, AffineModel()) as server,
    ):
        yield LiveChain(gateway, server, store)


def scenario(name: str, description: str) -> Entry:
    return Entry(scenario_update=ScenarioUpdate(scenario_id=name, name="a scenario", description=description))


def item(name: str, title: str) -> Entry:
    return Entry(item_update=ItemUpdate(item_id=name, title=title))


def event(kind: str, scenario_id: str, item_id: str = "", text: str = "", user_id: str = "ann") -> Entry:
    made = BehaviorEvent(user_id=user_id, scenario_id=scenario_id, type=f"EVENT_TYPE_{kind.upper()}")
    made.event_id = f"{kind} {user_id} {scenario_id} {item_id} {text}"
    made.time.FromSeconds(int(NOW_S) - 60)
    if item_id:
        made.item_id = item_id
    if text:
        made.text = text
    return Entry(behavior_event=made)


def weights(answer: RankResponse) -> dict[str, float]:
    return {line.scenario_id: line.weight for line in answer.transfer_weights}
