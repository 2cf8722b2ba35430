"""The ranking process: settings in, everything wired by hand, serves until a signal."""

import logging

from services.features.schema import build_schema
from services.ranking.model import open_model
from services.ranking.pipeline import Ranker, warm_up
from services.ranking.recognise import open_recogniser
from services.ranking.registry import ModelUnavailable
from services.ranking.rows import open_ranking_rows
from services.ranking.service import RankingService, build_server
from services.runtime.lifecycle import keep_what_is_loaded, serve_until_signal
from services.runtime.logging import configure_logging, log_event
from services.runtime.settings import Settings
from services.store.breaker import Breaker, Circuit
from services.store.connect import open_rows
from services.text.encoder import EncoderInfo

DRAIN_S = 10.0
"""Seconds that requests in progress get after the stop signal."""

_logger = logging.getLogger(__name__)


def run_ranking(settings: Settings) -> None:
    """Serve RankingService until SIGTERM or SIGINT; main thread only.

    Raises ModelUnavailable or ModelMismatch instead of serving with a model that does not fit.
    """
    configure_logging()
    chosen = settings.ranking
    ranker = build_ranker(settings)
    warm_up(ranker)
    built = build_server(build_service(settings, ranker), chosen.listen)
    keep_what_is_loaded()
    recogniser = ranker.recogniser.version if ranker.recogniser else ""
    log_event(_logger, "ranking_started", address=built.address, model=ranker.model.version, recogniser=recogniser)
    serve_until_signal(built.server, built.health, DRAIN_S, lambda: None)
    log_event(_logger, "ranking_stopped")


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
    return Ranker(schema, rows, model, recogniser=recogniser)
