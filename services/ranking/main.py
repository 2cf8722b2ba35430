"""Runs the ranking server: in this process, or in several workers that this process supervises.

The supervisor does not load what a worker loads, so that it survives whatever a worker does not.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import partial

from prometheus_client import CollectorRegistry

from services.ranking.process.metrics_aggregation import MetricsAggregator
from services.ranking.process.supervisor import Supervisor, available_cores, reserved_port
from services.ranking.process.worker import SupervisorConnection
from services.ranking.process.worker_pool import WorkerPool
from services.server.logging import configure_logging, log_event
from services.server.metrics_endpoint import serve_metrics
from services.settings.load import Settings

METRICS_LISTEN = "ranking.metrics_listen"

_logger = logging.getLogger(__name__)


def run_ranking(settings: Settings) -> None:
    """Serve RankingService until SIGTERM or SIGINT; main thread only.

    A single worker is this process. Several workers are supervised by it, share a port, are replaced when they die, and
    on SIGHUP are restarted one after another. Raises ModelUnavailable, ModelMismatch, or WorkerFailed with their text,
    instead of serving with a model that does not fit.
    """
    configure_logging()
    chosen = settings.ranking
    pool = WorkerPool(chosen.workers or available_cores())
    with _serve_metrics(chosen.metrics_listen, pool) as registry:
        if pool.target == 1:
            from services.ranking.wiring import serve_single

            serve_single(settings, pool, registry)
            return
        aggregator = MetricsAggregator()
        registry.register(aggregator)
        with reserved_port(chosen.listen) as address:
            log_event(_logger, "ranking_supervised", address=address, workers=pool.target)
            Supervisor(pool, partial(_work, settings, address), aggregator).run()
        log_event(_logger, "ranking_stopped")


def _work(settings: Settings, address: str, connection: SupervisorConnection) -> None:
    from services.ranking.wiring import serve_supervised

    serve_supervised(settings, address, connection)


@contextmanager
def _serve_metrics(listen: str, pool: WorkerPool) -> Iterator[CollectorRegistry]:
    """Serve probes and metrics over HTTP, if `listen` is an address; yields the registry for further metrics."""
    registry = CollectorRegistry()
    registry.register(pool)
    with serve_metrics(METRICS_LISTEN, listen, registry, pool) if listen else nullcontext():
        yield registry
