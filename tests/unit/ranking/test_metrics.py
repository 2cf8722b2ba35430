"""The metrics of requests."""

import grpc
import pytest
from prometheus_client import CollectorRegistry

from crossrec.ranking.v1 import ranking_pb2 as pb
from services.ranking.cache.row_sources import open_row_sources
from services.ranking.metrics import MAX_SCENARIOS, RankingMetrics, ServedLogMetrics
from services.ranking.model.ab_split import FixedModel
from services.ranking.pipeline import Ranker, rank
from services.ranking.served_log.log import ServedLog
from services.registry.model import FakeModel
from services.store.memory import MemoryRowStore
from services.store.protocol import RowStore
from tests.contract.rank_server import ENCODER, NOW_S, SCHEMA, History, filled_store, request
from tests.unit.ranking.served_log.answers import MemorySink, answer, ranker_with

STAGES = ["validate", "read_user", "recognise", "hydrate", "encode", "score", "select", "respond"]


class ObservedRanker:
    """A ranker with metrics as its observer."""

    def __init__(self, store: RowStore) -> None:
        self.registry = CollectorRegistry()
        rows = open_row_sources(store, SCHEMA, ENCODER, 1000, 3600.0, 3600.0, max_scenarios=64)
        observers = (RankingMetrics(self.registry),)
        self.ranker = Ranker(SCHEMA, rows, FixedModel(FakeModel()), clock=lambda: NOW_S, observers=observers)

    def rank(self, wanted: pb.RankRequest) -> pb.RankResponse:
        return pb.RankResponse.FromString(rank(self.ranker, wanted, lambda: 10.0))

    def value(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(f"crossrec_ranking_{name}", labels)

    def labels(self, name: str) -> set[tuple[str, ...]]:
        """Values of the labels of a histogram."""
        metrics = (metric for metric in self.registry.collect() if metric.name == f"crossrec_ranking_{name}")
        return {tuple(s.labels.values()) for metric in metrics for s in metric.samples if s.name.endswith("_count")}


def test_an_answer_is_counted_in_every_metric() -> None:
    """Each metric counts it once."""
    ranker = ObservedRanker(filled_store())
    answer = ranker.rank(request("tv", items=["milk", "tea", "unheard-of"]))
    assert [1.0] * len(STAGES) == [ranker.value("stage_seconds_count", stage=stage) for stage in STAGES]
    assert (1, 3) == (ranker.value("candidates_count"), ranker.value("candidates_sum"))
    assert 1 == ranker.value("answers_total", model=answer.model_version, arm="")
    assert (1, 0) == (
        ranker.value("degraded_total", reason="unknown_items"),
        ranker.value("degraded_total", reason="unknown_user"),
    )
    assert 30 == ranker.value("user_event_age_seconds_sum")
    assert 3 == ranker.value("probability_count", scenario="tv")
    expected = sum(item.probability for item in answer.items)
    assert expected == pytest.approx(ranker.value("probability_sum", scenario="tv"))
    shares = {line.scenario_id: line.share for line in answer.transfer_weights}
    found = {name: ranker.value("transfer_share_sum", scenario="tv", source=name) for name in shares}
    assert shares == pytest.approx(found)


def test_an_answer_without_scenarios_counts_too() -> None:
    """As degraded, with the stages that ran."""
    ranker = ObservedRanker(MemoryRowStore())
    ranker.rank(request("tv"))
    assert 1 == ranker.value("degraded_total", reason="no_scenarios")
    assert {("validate",), ("respond",)} == ranker.labels("stage_seconds")
    assert set() == ranker.labels("probability")


def test_clients_cannot_create_labels() -> None:
    """Unknown scenarios share one label, and so do known ones beyond the maximum."""
    store = filled_store()
    History(store, epoch=2).scenarios(*(f"s{number:03d}" for number in range(2 * MAX_SCENARIOS)))
    ranker = ObservedRanker(store)
    for number in range(2 * MAX_SCENARIOS):
        ranker.rank(request(f"made-up-{number}"))
        ranker.rank(request(f"s{number:03d}"))
    targets = {target for (target,) in ranker.labels("probability")}
    assert MAX_SCENARIOS + 1 >= len(targets)
    assert "other" in targets
    assert not any(target.startswith("made-up") for target in targets)
    assert (MAX_SCENARIOS + 1) * MAX_SCENARIOS >= len(ranker.labels("transfer_share"))


def test_calls_are_counted_by_their_codes() -> None:
    """Codes that did not occur are 0, so that rates include the first occurrence."""
    registry = CollectorRegistry()
    metrics = RankingMetrics(registry)
    metrics.on_call("Rank", grpc.StatusCode.OK, 0.02)
    name = "crossrec_ranking_requests_total"
    assert 1 == registry.get_sample_value(name, {"code": "OK"})
    assert 0 == registry.get_sample_value(name, {"code": "INTERNAL"})
    assert 0.02 == registry.get_sample_value("crossrec_ranking_request_seconds_sum")


def test_labels_contain_no_user_data() -> None:
    """Neither user ids nor item ids."""
    ranker = ObservedRanker(filled_store())
    ranker.rank(request("tv", user_id="ann", items=["milk"]))
    shown = {value for metric in ranker.registry.collect() for s in metric.samples for value in s.labels.values()}
    assert not shown & {"ann", "milk"}


def test_records_are_counted_by_outcome() -> None:
    """Two wait, one is dropped; the two are written."""
    log = ServedLog(MemorySink(), SCHEMA.fingerprint, 1.0, 2, 32)
    ranker = ranker_with(log)
    for _ in range(3):
        answer(ranker, request())
    log.start()
    log.stop()
    collected = CollectorRegistry()
    collected.register(ServedLogMetrics(log))
    outcomes = {
        outcome: collected.get_sample_value("crossrec_ranking_served_records_total", {"outcome": outcome})
        for outcome in ("written", "dropped", "failed")
    }
    assert {"written": 2.0, "dropped": 1.0, "failed": 0.0} == outcomes
