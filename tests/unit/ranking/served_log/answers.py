"""A ranker over rows in memory, and a sink in memory for its records."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from crossrec.ranking.v1.ranking_pb2 import RankRequest, RankResponse
from crossrec.ranking.v1.served_pb2 import ServedRanking
from services.kafka.sink import KeyedRecord
from services.ranking.cache.row_sources import open_row_sources
from services.ranking.model.ab_split import FixedModel
from services.ranking.outcome import Observer
from services.ranking.pipeline import Ranker, rank
from services.registry.model import FakeModel
from tests.contract.rank_server import ENCODER, NOW_S, SCHEMA, filled_store


def ranker_with(observer: Observer) -> Ranker:
    """A ranker with rows of ann and bob, at a fixed time."""
    rows = open_row_sources(filled_store(), SCHEMA, ENCODER, 1000, 0.0, 0.0, positions=True, max_scenarios=64)
    return Ranker(SCHEMA, rows, FixedModel(FakeModel()), clock=lambda: NOW_S, observers=(observer,))


def answer(ranker: Ranker, request: RankRequest) -> RankResponse:
    return RankResponse.FromString(rank(ranker, request, lambda: 10.0))


@dataclass
class MemorySink:
    """Keeps the written records, unless it is unavailable."""

    kept: list[KeyedRecord] = field(default_factory=list)
    unavailable: bool = False
    attempts: int = 0
    closed: bool = False

    def ready(self) -> bool:
        return True

    def write(self, records: Sequence[KeyedRecord]) -> int:
        self.attempts += 1
        if self.unavailable:
            return 0
        self.kept += records
        return len(records)

    def close(self) -> None:
        self.closed = True

    def records(self) -> list[ServedRanking]:
        return [ServedRanking.FromString(record.value) for record in self.kept]
