"""Starting the ranking server: in this process, or in several workers that this process supervises.

What a worker loads stays out of the supervisor, which has to be there when all of it is in ruins.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import partial

from prometheus_client import CollectorRegistry

from services.ranking.process.metrics_aggregation import Gathered
from services.ranking.process.supervisor import Supervisor, cores, held_port
from services.ranking.process.worker import Supervised
from services.ranking.process.worker_pool import Fleet
from services.server.logging import configure_logging, log_event
from services.server.metrics_endpoint import serve_metrics
from services.settings.load import Settings

METRICS_LISTEN = "ranking.metrics_listen"

_logger = logging.getLogger(__name__)


def run_ranking(settings: Settings) -> None:
    """Serve RankingService until SIGTERM or SIGINT; main thread only.

    One worker is this process. More are supervised by it, share its port, are replaced when they die, and on SIGHUP
    one after another. Raises ModelUnavailable, ModelMismatch, or WorkerFailed with their text, instead of serving
    with a model that does not fit.
    """
    configure_logging()
    chosen = settings.ranking
    fleet = Fleet(chosen.workers or cores())
    with _observed(chosen.metrics_listen, fleet) as registry:
        if fleet.wanted == 1:
            from services.ranking.wiring import serve_alone

            serve_alone(settings, fleet, registry)
            return
        gathered = Gathered()
        registry.register(gathered)
        with held_port(chosen.listen) as address:
            log_event(_logger, "ranking_supervised", address=address, workers=fleet.wanted)
            Supervisor(fleet, partial(_work, settings, address), gathered).run()
        log_event(_logger, "ranking_stopped")


def _work(settings: Settings, address: str, supervised: Supervised) -> None:
    from services.ranking.wiring import serve_supervised

    serve_supervised(settings, address, supervised)


@contextmanager
def _observed(listen: str, fleet: Fleet) -> Iterator[CollectorRegistry]:
    """Tell of the workers over HTTP meanwhile, if `listen` says where; yields where further metrics go."""
    registry = CollectorRegistry()
    registry.register(fleet)
    with serve_metrics(METRICS_LISTEN, listen, registry, fleet) if listen else nullcontext():
        yield registry
