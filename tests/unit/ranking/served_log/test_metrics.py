"""Metrics of the served log, as Prometheus reads them."""

from prometheus_client import CollectorRegistry

from services.ranking.served_log.log import ServedLog
from services.ranking.served_log.metrics import ServedLogMetrics
from tests.contract.rank_server import SCHEMA, request
from tests.unit.ranking.served_log.answers import MemorySink, answer, ranker_with


def test_records_are_counted_by_what_became_of_them() -> None:
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
