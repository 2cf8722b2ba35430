"""The process that ranks, alone or as a worker: settings in, everything wired by hand, serves until told to stop."""

import logging
import os
import time
from collections.abc import Callable
from functools import partial

from prometheus_client import CollectorRegistry

from services.features.schema import build_schema
from services.ranking.cache.item_cache import ItemCache
from services.ranking.cache.last_known import LastKnown
from services.ranking.cache.ranking_rows import open_ranking_rows, open_refresher
from services.ranking.cache.refresh import Refresher
from services.ranking.hydrate import UserRows
from services.ranking.metrics import LoadMetrics, RankingMetrics
from services.ranking.model.ab_split import Models
from services.ranking.model.execution import execution_of
from services.ranking.model.loader import ModelLoader
from services.ranking.model.metrics import ModelMetrics
from services.ranking.model.shadow import Shadow
from services.ranking.model.watcher import WatchedModels
from services.ranking.outcome import Observer
from services.ranking.pipeline import Ranker, warm_up
from services.ranking.process.worker import DRAIN_S, Supervised
from services.ranking.process.worker_pool import Fleet
from services.ranking.recognise import open_recogniser
from services.ranking.served_log.metrics import ServedLogMetrics
from services.ranking.served_log.open import open_served_log
from services.ranking.service import RankingService, build_server
from services.registry.reader import Registry
from services.server.grpc_server import BoundServer
from services.server.lifecycle import freeze_heap, serve_until_signal
from services.server.logging import configure_logging, log_event
from services.server.security.protection import open_protection
from services.server.security.pseudonyms import open_pseudonymizer
from services.server.telemetry.setup import open_tracing
from services.settings.load import Settings
from services.store.circuit_breaker import CircuitBreaker, CircuitState
from services.store.connect import open_rows
from services.store.protocol import StoreUnavailable
from services.text.encoder import read_encoder_info

_logger = logging.getLogger(__name__)


def serve_alone(settings: Settings, fleet: Fleet, registry: CollectorRegistry) -> None:
    """Serve RankingService in this process until SIGTERM or SIGINT, and let `fleet` know; main thread only.

    Metrics go into `registry`.

    Raises ModelUnavailable or ModelMismatch instead of serving with a model that does not fit.
    """
    fleet.started(os.getpid())
    built, stop = _build(settings, settings.ranking.listen, registry, shared=False)
    became_ready = partial(fleet.became_ready, os.getpid())
    serve_until_signal(built.server, built.health, DRAIN_S, stop, fleet.stop, became_ready)
    log_event(_logger, "ranking_stopped")


def serve_supervised(settings: Settings, address: str, supervised: Supervised) -> None:
    """What a worker process does: serve at a port that it shares, until its supervisor says so or is gone."""
    configure_logging()
    built, stop = _build(settings, address, supervised.registry, shared=True)
    supervised.serve(built.server, built.health)
    stop()


def _build(
    settings: Settings, listen: str, registry: CollectorRegistry, *, shared: bool
) -> tuple[BoundServer, Callable[[], None]]:
    """The server, warm but not started, and what ends that which runs beside it."""
    protection = open_protection(settings.security)
    models, metrics = build_models(settings), RankingMetrics(registry)
    served_log = open_served_log(settings, build_schema(settings.features).fingerprint)
    ranker, refresher = build_ranker(settings, models, (metrics, *([served_log] if served_log else [])))
    warm_up(ranker)
    fill(refresher, ranker.rows.items, settings.ranking.warm_up_s)
    tracing = open_tracing(settings.telemetry, "ranking")
    service = build_service(settings, ranker)
    built = build_server(service, listen, shared=shared, protection=protection, observe=metrics.called, tracing=tracing)
    registry.register(LoadMetrics(service.admission, ranker.rows.items))
    registry.register(ModelMetrics(models))
    if served_log:
        registry.register(ServedLogMetrics(served_log))
    freeze_heap()
    models.start()
    refresher.start()
    if served_log:
        served_log.start()
    recogniser = ranker.recogniser.version if ranker.recogniser else ""
    served = [arm.served.model.version for arm in models.serving.arms]
    log_event(_logger, "ranking_started", address=built.address, models=served, recogniser=recogniser)

    def stop() -> None:
        refresher.stop()
        models.stop()
        if served_log:
            served_log.stop()
        if tracing:
            tracing.close()

    return built, stop


def fill(refresher: Refresher, items: ItemCache, limit_s: float) -> None:
    """Read the items before the first request comes, for so many seconds at most.

    A store that is away is no reason not to start.
    """
    begun_s = time.monotonic()
    try:
        complete = refresher.warm(limit_s)
    except StoreUnavailable as error:
        log_event(_logger, "items_not_read", level=logging.WARNING, reason=str(error))
    else:
        took_s = round(time.monotonic() - begun_s, 3)
        log_event(_logger, "items_read", items=len(items), complete=complete, took_s=took_s)


def build_service(settings: Settings, ranker: Ranker) -> RankingService:
    """RankingService as the settings have it."""
    chosen = settings.ranking
    return RankingService(ranker, chosen.max_workers, chosen.max_waiting, chosen.target_wait_s)


def build_models(settings: Settings) -> WatchedModels:
    """The models that the registry says should serve, loaded; not watched yet."""
    chosen, registry = settings.ranking, Registry(settings.registry_dir, settings.registry_cache_dir)
    fits = build_schema(settings.features), read_encoder_info(settings.encoder_dir).fingerprint
    load = ModelLoader(registry, *fits, chosen.providers, execution_of(chosen))
    shadow = Shadow(chosen.shadow_share, chosen.shadow_waiting)
    models = WatchedModels(registry, chosen.model, chosen.version, load, shadow, chosen.watch_interval_s)
    models.open()
    return models


def build_ranker(settings: Settings, models: Models, observers: tuple[Observer, ...] = ()) -> tuple[Ranker, Refresher]:
    """Schema and sources of rows of the settings, and what ranks; and what keeps the rows in memory young."""
    chosen, schema = settings.ranking, build_schema(settings.features)
    store = open_rows(settings)
    circuit = CircuitState(settings.store.retry_after_s, settings.store.failures, settings.store.read_timeout_s)
    rows = open_ranking_rows(
        CircuitBreaker(store, circuit),
        schema,
        read_encoder_info(settings.encoder_dir).fingerprint,
        chosen.item_cache_size,
        chosen.item_cache_age_s,
        chosen.scenario_cache_age_s,
        positions=settings.served_log.share > 0,
    )
    # The default name serves where it is registered; one that somebody chose has to be there.
    required = "recogniser" in chosen.model_fields_set
    registry = Registry(settings.registry_dir, settings.registry_cache_dir)
    recogniser = open_recogniser(registry, chosen.recogniser, schema, required=required)
    last_known: LastKnown[UserRows] = LastKnown(chosen.user_rows_max_age_s, chosen.user_rows_bytes)
    ranker = Ranker(
        schema,
        rows,
        models,
        recogniser=recogniser,
        last_known=last_known,
        observers=observers,
        name_of=open_pseudonymizer(settings.privacy).pseudonymize,
    )
    return ranker, open_refresher(rows, store, schema)
