"""Ranks a week's impressions with the live server and compares the scores with the replay's."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from crossrec.ranking.v1 import ranking_pb2
from export.evaluation.metrics import auc, ndcg_at
from export.harness.stream import timestamp
from export.models.onnx_export import requests_of, score_onnx
from export.onnx_check import open_session
from export.rows.reader import RowBatch, RowSource
from services.client import RankingClient

AGREEMENT = 1e-5
"""Largest difference of scores that still counts as agreement."""


@dataclass(frozen=True)
class Impressions:
    """The labelled rows of one time: R rows in batches, with their ids.

    Args:
        batches: the rows' tensors.
        label: [R], target: [R], user: [R], item_id: [R], request_id: [R], in the order of the batches.
        time_s: the time, seconds since 1970.
    """

    batches: list[RowBatch]
    label: np.ndarray
    target: np.ndarray
    user: np.ndarray
    item_id: np.ndarray
    request_id: np.ndarray
    time_s: float


def impressions_at(rows_dir: Path, time_s: float) -> Impressions:
    """The test rows whose request time is `time_s`."""
    source = RowSource(rows_dir, "test")
    batches = [part for batch in source.batches() if len(part := _rows_at(batch, time_s))]
    row = np.concatenate([np.empty(0, np.int64), *(batch.row for batch in batches)])
    columns = source.columns("label", "target", "user_id", "item_id", "request_id")
    place = np.searchsorted(columns.pop("row"), row)
    selected = {name: values[place] for name, values in columns.items()}
    return Impressions(batches=batches, time_s=time_s, user=selected.pop("user_id"), **selected)


def _rows_at(batch: RowBatch, time_s: float) -> RowBatch:
    contexts = np.flatnonzero(batch.time_s == time_s)
    rows = np.flatnonzero(np.isin(batch.row_context, contexts))
    return batch.take(rows, contexts, np.searchsorted(contexts, batch.row_context[rows]))


@dataclass(frozen=True)
class ScoreComparison:
    """Live and replayed scores and probabilities of the same impressions, each [R]."""

    rows: Impressions
    live: np.ndarray
    offline: np.ndarray
    live_probability: np.ndarray
    offline_probability: np.ndarray
    degraded: int

    @property
    def difference_max(self) -> float:
        """Largest absolute difference of a score."""
        return float(np.abs(self.live - self.offline).max())

    def quality(self, probability: np.ndarray) -> dict[str, float]:
        """AUC and NDCG@10 over all impressions; scores of two requests are on two scales, so not of scores."""
        label = self.rows.label
        return {"auc": auc(label, probability), "ndcg_at_10": ndcg_at(10, label, probability, self.rows.request_id)}


def build_rank_request(
    rows: Impressions, members: np.ndarray, scenario: str, *, explain: bool = False
) -> ranking_pb2.RankRequest:
    """The Rank request for one user's impressions in one scenario."""
    first = members[0]
    return ranking_pb2.RankRequest(
        user_id=rows.user[first],
        scenario_id=scenario,
        item_ids=list(dict.fromkeys(rows.item_id[members])),
        request_time=timestamp(rows.time_s),
        options=ranking_pb2.RankOptions(explain=explain),
    )


def compare_scores(
    address: str, model: Path, rows: Impressions, sources: list[str], progress: Callable[[int, int], None]
) -> ScoreComparison:
    """Rank every impression with the server, and score it offline with the same model."""
    starts = np.cumsum([0, *map(len, rows.batches)])
    requests = [
        start + members for start, batch in zip(starts, rows.batches, strict=False) for members, _ in requests_of(batch)
    ]
    live, probability, degraded = np.full(len(rows.label), np.nan), np.full(len(rows.label), np.nan), 0
    with RankingClient(address, deadline_s=300) as client:
        for number, members in enumerate(requests):
            request = build_rank_request(rows, members, sources[rows.target[members[0]]])
            reply = client.send(request)
            degraded += len(reply.degraded) > 0
            answered = {item.item_id: item for item in reply.items}
            live[members] = [answered[item].score for item in rows.item_id[members]]
            probability[members] = [answered[item].probability for item in rows.item_id[members]]
            progress(number + 1, len(requests))
    session = open_session(model)
    offline, expected = (
        np.concatenate([score_onnx(session, batch, output) for batch in rows.batches])
        for output in ("score", "probability")
    )
    return ScoreComparison(rows, live, offline, probability, expected, degraded)
