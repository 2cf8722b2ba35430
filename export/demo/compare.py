"""Ranks a week's impressions through the live server and compares with the replay's scores."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import grpc
import numpy as np

from crossrec.ranking.v1 import ranking_pb2, ranking_pb2_grpc
from export.demo.stream import timestamp
from export.evaluation.metrics import auc, ndcg_at
from export.onnx_export import requests_of, score_onnx
from export.training.rows import Rows

AGREEMENT = 1e-5
"""Largest difference of scores that counts as agreement."""


@dataclass(frozen=True)
class Comparison:
    """Live and replayed scores of the same impressions."""

    rows: Rows
    live: np.ndarray
    offline: np.ndarray
    degraded: int

    @property
    def difference_max(self) -> float:
        """Largest absolute difference of a score."""
        return float(np.abs(self.live - self.offline).max())

    def quality(self, score: np.ndarray) -> dict[str, float]:
        """AUC and NDCG@10 of scores over all impressions."""
        label = self.rows.label
        return {"auc": auc(label, score), "ndcg_at_10": ndcg_at(10, label, score, self.rows.request_id)}


def rank_request(rows: Rows, members: np.ndarray, scenario: str, *, explain: bool = False) -> ranking_pb2.RankRequest:
    """The Rank request of one user's impressions in one scenario."""
    first = members[0]
    return ranking_pb2.RankRequest(
        user_id=rows.user[first],
        scenario_id=scenario,
        item_ids=list(dict.fromkeys(rows.item_id[members])),
        request_time=timestamp(rows.time_s[first]),
        options=ranking_pb2.RankOptions(explain=explain),
    )


def compare(
    address: str, model: Path, rows: Rows, sources: list[str], progress: Callable[[int, int], None]
) -> Comparison:
    """Rank every impression of `rows` (of one time) live, and score it offline with the same model."""
    requests, live, degraded = requests_of(rows), np.full(len(rows.label), np.nan), 0
    with grpc.insecure_channel(address) as channel:
        stub = ranking_pb2_grpc.RankingServiceStub(channel)  # type: ignore[no-untyped-call]
        for number, members in enumerate(requests):
            request = rank_request(rows, members, sources[rows.target[members[0]]])
            reply = stub.Rank(request, timeout=30)
            degraded += len(reply.degraded) > 0
            score = {item.item_id: item.score for item in reply.items}
            live[members] = [score[item] for item in rows.item_id[members]]
            progress(number + 1, len(requests))
    return Comparison(rows, live, score_onnx(model, rows), degraded)
