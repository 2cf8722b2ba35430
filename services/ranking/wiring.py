"""Composition root of a ranking process, single or worker: builds all parts from settings, and serves until stopped."""

import logging
import os
import time
from collections.abc import Callable
from functools import partial

from prometheus_client import CollectorRegistry

from services.features.schema import build_schema
from services.kafka.sink import KafkaSink, open_sink_producer
from services.kafka.topics import RANKED
from services.ranking.cache.item_cache import ItemCache
from services.ranking.cache.last_known import LastKnownRows
from services.ranking.cache.refresh import Refresher
from services.ranking.cache.row_sources import open_refresher, open_row_sources
from services.ranking.hydrate import UserRows
from services.ranking.metrics import AdmissionMetrics, ItemCacheMetrics, RankingMetrics, ServedLogMetrics
from services.ranking.model.ab_split import ServingModels
from services.ranking.model.execution import build_execution
from services.ranking.model.loader import ModelLoader
from services.ranking.model.metrics import ModelMetrics
from services.ranking.model.onnx_recogniser import open_recogniser
from services.ranking.model.shadow import ShadowScorer
from services.ranking.model.watcher import WatchedModels
from services.ranking.outcome import Observer
from services.ranking.pipeline import Ranker, warm_up
from services.ranking.process.worker import DRAIN_S, SupervisorConnection
from services.ranking.process.worker_pool import WorkerPool
from services.ranking.served_log.log import ServedLog
from services.ranking.service import RankingService, build_server
from services.registry.reader import Registry
from services.server.grpc_server import BoundServer
from services.server.lifecycle import freeze_heap, serve_until_signal
from services.server.logging import configure_logging, log_event
from services.server.security.protection import open_protection
from services.server.security.pseudonyms import open_pseudonymizer
from services.server.self_probe import SelfProbe
from services.server.telemetry.setup import open_tracing
from services.settings.load import Settings
from services.store.circuit_breaker import CircuitBreaker, CircuitState
from services.store.connect import open_rows
from services.store.protocol import StoreUnavailable
from services.text.encoder import read_encoder_info

_logger = logging.getLogger(__name__)


def serve_single(settings: Settings, pool: WorkerPool, registry: CollectorRegistry) -> None:
    """Serve RankingService in this process until SIGTERM or SIGINT, and update `pool`; main thread only.

    Metrics are added to `registry`.

    Raises ModelUnavailable or ModelMismatch instead of serving with a model that does not fit.
    """
    pool.on_started(os.getpid())
    built, stalled, stop = _build(settings, settings.ranking.listen, registry, shared=False)
    pid = os.getpid()
    probe = SelfProbe(
        built.probe_address, stalled, lambda reason: pool.on_stuck(pid, reason) if reason else pool.on_ready(pid)
    )

    def on_start() -> None:
        pool.on_ready(pid)
        probe.start()

    def on_drain() -> None:
        probe.stop()
        pool.stop()

    serve_until_signal(built.server, built.health, DRAIN_S, stop, on_drain, on_start)
    log_event(_logger, "ranking_stopped")


def serve_supervised(settings: Settings, address: str, connection: SupervisorConnection) -> None:
    """The work of a worker process: serve at a shared port until the supervisor stops it or ends."""
    configure_logging()
    built, stalled, stop = _build(settings, address, connection.registry, shared=True)
    connection.serve(built, stalled)
    stop()


def _build(
    settings: Settings, listen: str, registry: CollectorRegistry, *, shared: bool
) -> tuple[BoundServer, Callable[[], str], Callable[[], None]]:
    """The server, warm but not started; why it ranks no requests, empty while it does; stops the background threads."""
    protection = open_protection(settings.security)
    log_event(_logger, "ranking_loading", what="models and feature store")
    models, metrics = build_models(settings), RankingMetrics(registry)
    served_log = open_served_log(settings, build_schema(settings.features).fingerprint)
    ranker, refresher = build_ranker(settings, models, (metrics, *([served_log] if served_log else [])))
    warm_up(ranker)
    log_event(_logger, "ranking_loading", what="items", limit_s=settings.ranking.warm_up_s)
    fill_item_cache(refresher, ranker.rows.items, settings.ranking.warm_up_s)
    tracing = open_tracing(settings.telemetry, "ranking")
    service = build_service(settings, ranker)
    built = build_server(
        service, listen, shared=shared, protection=protection, observe=metrics.on_call, tracing=tracing
    )
    registry.register(AdmissionMetrics(service.admission))
    registry.register(ItemCacheMetrics(ranker.rows.items))
    registry.register(ModelMetrics(models))
    if served_log:
        registry.register(ServedLogMetrics(served_log))
    freeze_heap()
    models.start()
    refresher.start()
    if served_log:
        served_log.start()
    recogniser = ranker.recogniser.version if ranker.recogniser else ""
    served = [arm.assignment.model.version for arm in models.deployment.arms]
    log_event(_logger, "ranking_started", address=built.address, models=served, recogniser=recogniser)

    def stop() -> None:
        refresher.stop()
        models.stop()
        if served_log:
            served_log.stop()
        if tracing:
            tracing.close()

    return built, service.stalled, stop


def fill_item_cache(refresher: Refresher, items: ItemCache, limit_s: float) -> None:
    """Read the items before the first request, for at most `limit_s` seconds.

    The server starts even if the store is unavailable.
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
    """RankingService as configured."""
    chosen = settings.ranking
    return RankingService(ranker, chosen.max_workers, chosen.max_waiting, chosen.target_wait_s)


def build_models(settings: Settings) -> WatchedModels:
    """The models of the registry's rollout, loaded; not watched yet."""
    chosen, registry = settings.ranking, Registry(settings.registry_dir, settings.registry_cache_dir)
    schema, encoder = build_schema(settings.features), read_encoder_info(settings.encoder_dir).fingerprint
    load = ModelLoader(registry, schema, encoder, chosen.providers, build_execution(chosen))
    shadow = ShadowScorer(chosen.shadow_share, chosen.shadow_waiting)
    models = WatchedModels(registry, chosen.model, chosen.version, load, shadow, chosen.watch_interval_s)
    models.open()
    return models


def build_ranker(
    settings: Settings, models: ServingModels, observers: tuple[Observer, ...] = ()
) -> tuple[Ranker, Refresher]:
    """The ranker as configured, and the refresher of its caches."""
    chosen, schema = settings.ranking, build_schema(settings.features)
    store = open_rows(settings)
    circuit = CircuitState(settings.store.retry_after_s, settings.store.failures, settings.store.read_timeout_s)
    rows = open_row_sources(
        CircuitBreaker(store, circuit),
        schema,
        read_encoder_info(settings.encoder_dir).fingerprint,
        chosen.item_cache_size,
        chosen.item_cache_age_s,
        chosen.scenario_cache_age_s,
        max_scenarios=settings.consumers.max_scenarios,
        positions=settings.served_log.share > 0,
    )
    # The default recogniser is used if it is registered; one that is configured has to be there.
    required = "recogniser" in chosen.model_fields_set
    registry = Registry(settings.registry_dir, settings.registry_cache_dir)
    recogniser = open_recogniser(registry, chosen.recogniser, schema, required=required)
    last_known: LastKnownRows[UserRows] = LastKnownRows(chosen.user_rows_max_age_s, chosen.user_rows_bytes)
    ranker = Ranker(
        schema,
        rows,
        models,
        recogniser=recogniser,
        last_known=last_known,
        observers=observers,
        pseudonymize=open_pseudonymizer(settings.privacy).pseudonymize,
    )
    return ranker, open_refresher(rows, store, schema)


def open_served_log(settings: Settings, schema_fingerprint: int) -> ServedLog | None:
    """The served log, not started; None if its share is 0."""
    chosen, kafka = settings.served_log, settings.kafka
    if chosen.share == 0:
        return None
    sink = KafkaSink(f"{kafka.topic_prefix}.{RANKED}", partial(open_sink_producer, kafka))
    return ServedLog(sink, schema_fingerprint, chosen.share, chosen.waiting, chosen.feature_items)
