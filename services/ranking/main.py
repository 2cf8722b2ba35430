"""The process that ranks, alone or as a worker: settings in, everything wired by hand, serves until told to stop."""

import logging
import os
from functools import partial

from services.features.schema import build_schema
from services.ranking.fleet import Fleet
from services.ranking.hydrate import UserRows
from services.ranking.last_known import LastKnown
from services.ranking.model import open_model
from services.ranking.pipeline import Ranker, warm_up
from services.ranking.recognise import open_recogniser
from services.ranking.registry import ModelUnavailable
from services.ranking.rows import open_ranking_rows
from services.ranking.service import RankingService, build_server
from services.ranking.worker import DRAIN_S, Supervised
from services.runtime.grpc_server import BoundServer
from services.runtime.lifecycle import keep_what_is_loaded, serve_until_signal
from services.runtime.logging import configure_logging, log_event
from services.runtime.settings import Settings
from services.store.breaker import Breaker, Circuit
from services.store.connect import open_rows
from services.text.encoder import EncoderInfo

_logger = logging.getLogger(__name__)


def serve_alone(settings: Settings, fleet: Fleet) -> None:
    """Serve RankingService in this process until SIGTERM or SIGINT, and let `fleet` know; main thread only.

    Raises ModelUnavailable or ModelMismatch instead of serving with a model that does not fit.
    """
    fleet.started(os.getpid())
    built = _build(settings, settings.ranking.listen, shared=False)
    became_ready = partial(fleet.became_ready, os.getpid())
    serve_until_signal(built.server, built.health, DRAIN_S, lambda: None, fleet.stop, became_ready)
    log_event(_logger, "ranking_stopped")


def serve_supervised(settings: Settings, address: str, supervised: Supervised) -> None:
    """What a worker process does: serve at a port that it shares, until its supervisor says so or is gone."""
    configure_logging()
    built = _build(settings, address, shared=True)
    supervised.serve(built.server, built.health)


def _build(settings: Settings, listen: str, *, shared: bool) -> BoundServer:
    ranker = build_ranker(settings)
    warm_up(ranker)
    built = build_server(build_service(settings, ranker), listen, shared=shared)
    keep_what_is_loaded()
    recogniser = ranker.recogniser.version if ranker.recogniser else ""
    log_event(_logger, "ranking_started", address=built.address, model=ranker.model.version, recogniser=recogniser)
    return built


def build_service(settings: Settings, ranker: Ranker) -> RankingService:
    """RankingService as the settings have it."""
    chosen = settings.ranking
    return RankingService(ranker, chosen.max_workers, chosen.max_waiting, chosen.target_wait_s)


def build_ranker(settings: Settings) -> Ranker:
    """Model, schema and sources of rows of the settings."""
    chosen, store, schema = settings.ranking, settings.store, build_schema(settings.features)
    if not (settings.encoder_dir / "encoder.json").exists():
        raise ModelUnavailable(f"encoder_dir: no text encoder in {settings.encoder_dir}; `crossrec train` builds it")
    encoder = EncoderInfo.load(settings.encoder_dir).fingerprint
    model = open_model(settings.registry_dir, chosen.model, chosen.version, schema, encoder, chosen.providers)
    rows = open_ranking_rows(
        Breaker(open_rows(settings), Circuit(store.retry_after_s, store.failures, store.read_timeout_s)),
        schema,
        encoder,
        chosen.item_cache_size,
        chosen.item_cache_age_s,
        chosen.scenario_cache_age_s,
    )
    # The default name serves where it is registered; one that somebody chose has to be there.
    required = "recogniser" in chosen.model_fields_set
    recogniser = open_recogniser(settings.registry_dir, chosen.recogniser, schema, required=required)
    last_known: LastKnown[UserRows] = LastKnown(chosen.user_rows_max_age_s, chosen.user_rows_bytes)
    return Ranker(schema, rows, model, recogniser=recogniser, last_known=last_known)
