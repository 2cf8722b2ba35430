"""Prometheus metrics of the served log. Knows no HTTP; the registry is the caller's."""

from collections.abc import Iterable

from prometheus_client.core import CounterMetricFamily, Metric

from services.ranking.served_log.log import ServedLog


class ServedLogMetrics:
    """Looks at the log when it is asked (the protocol of prometheus_client's collectors).

    Args:
        log: the served log.
    """

    def __init__(self, log: ServedLog) -> None:
        self._log = log

    def collect(self) -> Iterable[Metric]:
        """The metrics, as of now."""
        what = "Sampled answers, by what became of their records."
        records = CounterMetricFamily("crossrec_ranking_served_records", what, labels=("outcome",))
        outcomes = {"written": self._log.written, "dropped": self._log.dropped, "failed": self._log.failed}
        for outcome, count in outcomes.items():
            records.add_metric((outcome,), count)
        yield records
