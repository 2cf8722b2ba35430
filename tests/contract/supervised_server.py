"""A supervised ranking server whose workers rank with rows in memory and name their process in every answer.

`python -m tests.contract.supervised_server WORKERS WORK_S DIRECTORY`: each request takes WORK_S of the worker's time
and adds a byte to the file `begun`; workers that find a file `broken` end before they serve.
"""

import os
import sys
import threading
from functools import partial
from pathlib import Path

import numpy as np
from prometheus_client import CollectorRegistry

from services.features.encode import Tensors
from services.ranking.cache.row_sources import open_row_sources
from services.ranking.metrics import RankingMetrics
from services.ranking.model.ab_split import FixedModel
from services.ranking.pipeline import Ranker
from services.ranking.process.metrics_aggregation import MetricsAggregator
from services.ranking.process.supervisor import Supervisor, reserved_port
from services.ranking.process.worker import SupervisorConnection
from services.ranking.process.worker_pool import WorkerPool
from services.ranking.service import RankingService, build_server
from services.registry.model import FakeModel, Scores
from services.server.logging import configure_logging
from services.server.metrics_endpoint import serve_metrics
from tests.contract.rank_server import ENCODER, NOW_S, SCHEMA, filled_store


class NamedModel(FakeModel):
    """Answers with the process id as version, and takes `work_s`."""

    def __init__(self, work_s: float, begun: Path) -> None:
        self.version, self._work_s, self._begun = f"fake/{os.getpid()}", work_s, begun

    def score(self, tensors: Tensors, target: np.ndarray, _left_s: float = 0.0) -> Scores:
        with self._begun.open("ab") as file:
            file.write(b".")
        threading.Event().wait(self._work_s)
        return super().score(tensors, target)


def work(address: str, work_s: float, directory: Path, supervised: SupervisorConnection) -> None:
    """A worker."""
    configure_logging()
    if (directory / "broken").exists():
        os._exit(3)
    rows = open_row_sources(filled_store(), SCHEMA, ENCODER, 1000, 3600.0, 3600.0, max_scenarios=64)
    metrics, models = RankingMetrics(supervised.registry), FixedModel(NamedModel(work_s, directory / "begun"))
    ranker = Ranker(SCHEMA, rows, models, clock=lambda: NOW_S, observers=(metrics,))
    service = RankingService(ranker, 4, 64)
    built = build_server(service, address, shared=True, observe=metrics.on_call)
    supervised.serve(built, service.stalled)


def main(workers: int, work_s: float, directory: Path) -> None:
    """Print the addresses of the server and of its probes, then supervise."""
    configure_logging()
    pool, aggregator, registry = WorkerPool(workers), MetricsAggregator(), CollectorRegistry()
    registry.register(pool)
    registry.register(aggregator)
    with reserved_port("127.0.0.1:0") as address, serve_metrics("test", "127.0.0.1:0", registry, pool) as probes:
        print(address, probes, flush=True)  # noqa: T201 - for the test
        Supervisor(pool, partial(work, address, work_s, directory), aggregator).run()


if __name__ == "__main__":
    # Workers import this module by its name, not as __main__.
    from tests.contract import supervised_server

    supervised_server.main(int(sys.argv[1]), float(sys.argv[2]), Path(sys.argv[3]))
