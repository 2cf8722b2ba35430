"""A ranking server on a real channel, with rows in memory and a model with predictable scores."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import grpc
import numpy as np

from crossrec.ranking.v1 import ranking_pb2 as pb
from crossrec.ranking.v1.ranking_pb2 import RankOptions, RankRequest, RankResponse
from crossrec.ranking.v1.ranking_pb2_grpc import RankingServiceStub
from services.features.activity import compute_deltas
from services.features.catalogue import ItemState, ScenarioState
from services.features.config import Attribute, FeatureConfig
from services.features.encode import Tensors
from services.features.event_types import EVENT_TYPES
from services.features.events import Events
from services.features.hashing import keys64
from services.features.rows import Block
from services.features.schema import build_schema
from services.ranking.cache.last_known import LastKnownRows
from services.ranking.cache.row_sources import open_row_sources
from services.ranking.hydrate import UserRows
from services.ranking.metrics import RankingMetrics
from services.ranking.model.ab_split import FixedModel, ServingModels
from services.ranking.pipeline import Ranker
from services.ranking.recognise import Recogniser
from services.ranking.service import RankingService, build_server
from services.registry.model import FakeModel, Scores, ScoringModel
from services.server.grpc_server import BoundServer
from services.server.security.protection import UNPROTECTED, Protection
from services.server.telemetry.opentelemetry import Tracing
from services.store.folding import (
    attach_items,
    fold_activity,
    fold_item_scenarios,
    fold_states,
    fold_users,
    index_scenarios,
)
from services.store.memory import MemoryRowStore
from services.store.protocol import Key, ReadRequest, RowStore

NOW_S = 1_800_000_000.0
ENCODER = 7
"""Fingerprint of the text encoder behind all vectors."""
ITEMS = ["dust", "milk", "tea"]
"""From least to most clicked."""
SCHEMA = build_schema(
    FeatureConfig(
        text_dims=4,
        attributes=(Attribute("weight", "item"), Attribute("margin", "item_scenario"), Attribute("hour", "context")),
    )
)


class WideModel(FakeModel):
    """Every value of every tensor changes the preferences, so that any difference of a row is detected."""

    def score(self, tensors: Tensors, target: np.ndarray, _left_s: float = 0.0) -> Scores:
        parts = [
            tensors.scenario[None],
            tensors.behavior,
            tensors.language,
            tensors.item[:, None],
            tensors.item_text[:, None],
            tensors.cross,
        ]
        total = sum(part @ np.cos(np.arange(part.shape[-1])) for part in parts)
        preference, transfer = 1 / (1 + np.exp(-0.1 * total)), (1 + target) / 2
        score = preference @ transfer
        return Scores(preference, transfer, score, score / transfer.sum())


class SwitchedStore(MemoryRowStore):
    """Rows in memory whose reads raise `failure` while it is set, of one view or (None) of all."""

    def __init__(self) -> None:
        super().__init__()
        self.failure: Exception | None = None
        self.failing_view: str | None = None

    def read_blocks(self, requests: Sequence[ReadRequest]) -> list[Block]:
        if self.failure and self.failing_view in {None, *(view.name for view, _ in requests)}:
            raise self.failure
        return super().read_blocks(requests)


@dataclass
class History:
    """Writes rows through the folds that the consumers use, each call as one batch.

    Args:
        store: gets the rows.
        epoch: topic epoch of all positions.
        offset: of the next record.
    """

    store: RowStore
    epoch: int = 1
    offset: int = field(default=0)

    def scenarios(self, *names: str) -> None:
        """Describe scenarios."""
        keys: list[Key] = [(name,) for name in names]
        states = [ScenarioState(NOW_S - 90_000, name, f"everything about {name}") for name in names]
        positions = self._positions(len(names))
        vectors = np.eye(SCHEMA.config.text_dims)[np.arange(len(names)) % SCHEMA.config.text_dims]
        fold_states(self.store, SCHEMA, SCHEMA["scenario"], keys, states, positions.tolist(), vectors, ENCODER)
        index_scenarios(self.store, SCHEMA, names, positions[-1].tolist())

    def delete_scenarios(self, *names: str) -> None:
        """Fold tombstones of scenarios."""
        positions = self._positions(len(names)).tolist()
        vectors, keys = np.zeros((len(names), SCHEMA.config.text_dims)), [(name,) for name in names]
        fold_states(self.store, SCHEMA, SCHEMA["scenario"], keys, [None] * len(names), positions, vectors, ENCODER)
        index_scenarios(self.store, SCHEMA, [], positions[-1], deleted=names)

    def items(self, *names: str, texts: Sequence[int] = ()) -> None:
        """Describe items; `texts` are the axes of their text vectors, by default all the same."""
        keys: list[Key] = [(name,) for name in names]
        states = [ItemState(NOW_S - 90_000, name, categories=("drinks", name), brand="b", price=2.5) for name in names]
        positions = self._positions(len(names)).tolist()
        vectors = np.eye(SCHEMA.config.text_dims)[list(texts) or [0] * len(names)]
        fold_states(self.store, SCHEMA, SCHEMA["item"], keys, states, positions, vectors, ENCODER)

    def margins(self, *margins: tuple[str, str, float]) -> None:
        """Give items their attribute in scenarios: (item, scenario, margin)."""
        keys: list[Key] = [(item, scenario) for item, scenario, _ in margins]
        values, positions = np.array([[margin] for *_, margin in margins]), self._positions(len(margins))
        fold_item_scenarios(self.store, SCHEMA, keys, np.full(len(keys), NOW_S - 90_000), values, positions)

    def events(self, *events: tuple[str, str, str], kind: str = "click", time_s: float = NOW_S - 60) -> None:
        """Let (user, scenario, item) happen at one time."""
        user, scenario, item = (np.array(column, object) for column in zip(*events, strict=True))
        count, positions = len(events), self._positions(len(events))
        made = Events(
            user=user,
            scenario=scenario,
            item=item,
            type=np.full(count, EVENT_TYPES.index(kind)),
            time_s=np.full(count, time_s),
            value=np.full(count, np.nan),
            event_key=keys64(f"event {self.epoch} {offset}" for offset in positions[:, 2]),
            position=positions,
            item_key=np.zeros(count, np.int64),
            facet_key=np.zeros((count, len(SCHEMA.config.facets)), np.int64),
            text_vector=np.zeros((count, SCHEMA.config.text_dims)),
        )
        enriched = attach_items(self.store, SCHEMA, made, ENCODER)
        flags = fold_users(self.store, SCHEMA, enriched, ENCODER)
        views = {
            "item_activity": ("item",),
            "facet_activity": ("facet",),
            "item_scenario_activity": ("item", "scenario"),
            "scenario_activity": ("scenario",),
        }
        for view, ids in views.items():
            deltas = compute_deltas(SCHEMA, enriched, flags, *ids)
            fold_activity(self.store, SCHEMA, view, deltas, self._positions(len(deltas)))

    def _positions(self, count: int) -> np.ndarray:
        offsets = np.arange(self.offset, self.offset + count)
        self.offset += count
        return np.stack([np.full(count, self.epoch), np.zeros(count, np.int64), offsets], axis=1)


@dataclass
class RankServer:
    """A running ranking server as a client sees it."""

    channel: grpc.Channel
    stub: RankingServiceStub
    built: BoundServer

    def rank(self, request: RankRequest, timeout_s: float = 30) -> RankResponse:
        return self.stub.Rank(request, timeout=timeout_s, wait_for_ready=True)

    def refused(self, request: RankRequest, timeout_s: float = 30) -> grpc.RpcError:
        """The error that answers the request."""
        try:
            answer = self.rank(request, timeout_s)
        except grpc.RpcError as error:
            return error
        raise AssertionError(f"answered: {answer}")


@contextmanager
def running(
    store: RowStore,
    model: ScoringModel | None = None,
    max_workers: int = 4,
    max_waiting: int = 64,
    cache_age_s: float = 0.0,
    recogniser: Recogniser | None = None,
    models: ServingModels | None = None,
    user_rows_max_age_s: float = 0.0,
    protection: Protection = UNPROTECTED,
    tracing: Tracing | None = None,
    metrics: RankingMetrics | None = None,
) -> Iterator[RankServer]:
    """Serve on a free port of the loopback interface, with a clock fixed at NOW_S.

    Rows in memory are read again for every request, unless `cache_age_s` says otherwise.
    """
    rows = open_row_sources(store, SCHEMA, ENCODER, 1000, cache_age_s, cache_age_s, max_scenarios=64)
    known: LastKnownRows[UserRows] = LastKnownRows(user_rows_max_age_s, 1 << 20)
    chosen = models or FixedModel(model or FakeModel())
    observers, observe = ((metrics,), metrics.on_call) if metrics else ((), None)
    ranker = Ranker(SCHEMA, rows, chosen, lambda: NOW_S, recogniser, known, observers)
    service = RankingService(ranker, max_workers, max_waiting)
    built = build_server(service, "127.0.0.1:0", protection=protection, tracing=tracing, observe=observe)
    built.server.start()
    try:
        with grpc.insecure_channel(built.address) as channel:
            yield RankServer(channel, RankingServiceStub(channel), built)
    finally:
        built.server.stop(0).wait()


def filled_store() -> SwitchedStore:
    """Two scenarios, three items, and a user with more events in the shelf than on tv."""
    store = SwitchedStore()
    history = History(store)
    history.scenarios("shelf", "tv")
    history.items(*ITEMS)
    history.events(("ann", "tv", "milk"), ("bob", "tv", "tea"), ("bob", "tv", "tea"))
    history.events(*[("ann", "shelf", "tea")] * 3, time_s=NOW_S - 30)
    return store


def request(scenario_id: str = "tv", user_id: str = "ann", items: list[str] = ITEMS, **options: float) -> RankRequest:
    return RankRequest(user_id=user_id, scenario_id=scenario_id, item_ids=items, options=RankOptions(**options))


def order(answer: RankResponse) -> list[str]:
    return [item.item_id for item in answer.items]


def scores(answer: RankResponse) -> dict[str, float]:
    return {item.item_id: item.score for item in answer.items}


def reasons(answer: RankResponse) -> dict[pb.DegradationReason, int]:
    """The reasons in order, with the number of items concerned."""
    return {degradation.reason: degradation.item_count for degradation in answer.degraded}


def posterior(answer: RankResponse) -> dict[str, float]:
    return {line.scenario_id: line.probability for line in answer.scenario_posterior}
