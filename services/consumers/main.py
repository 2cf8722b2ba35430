"""A consumer process: wires everything from the settings, folds until a signal."""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext, suppress
from functools import partial
from typing import TYPE_CHECKING

from services.consumers import behavior, catalogue
from services.consumers.activity import ActivityHandler, delta_times
from services.consumers.decoding import Decoder, TimeLimits
from services.consumers.loop import BatchHandler, ConsumerLoop
from services.consumers.marked_source import MarkedRecordSource
from services.consumers.metered_encoder import MeteredEncoder
from services.consumers.observer import ConsumerObserver
from services.consumers.projects import for_project
from services.consumers.rewind import open_marks
from services.consumers.scenario_gate import ScenarioGate
from services.consumers.stoppable_encoder import StoppableEncoder
from services.errors import ConfigurationError
from services.events.routing import topic_name
from services.features.schema import Schema, build_schema
from services.kafka.consumer import KafkaRecordSource, KafkaRecordSourceConfig
from services.kafka.record_source import Admit, PassOver, RecordSource
from services.kafka.topics import DEAD_LETTERS, describe_topic, partition_counts
from services.server.lifecycle import ending_within, freeze_heap, stop_event
from services.server.logging import configure_logging, log_event
from services.server.metrics_endpoint import serve_metrics
from services.server.telemetry.setup import open_tracing
from services.settings.load import Settings
from services.settings.processes import CONSUMER_KINDS
from services.store.cached_item_rows import CachedItemRowStore
from services.store.folding import read_scenario_ids
from services.store.metered_rows import MeteredRowStore
from services.store.protocol import FencedWrite, RowStore, StoreUnavailable
from services.store.schema_lineage import join_lineage
from services.text.encoder import open_encoder
from services.text.protocol import Encoder

if TYPE_CHECKING:
    from services.server.telemetry.opentelemetry import Tracing

METRICS_LISTEN = "consumers.metrics_listen"

STOP_S = 4.0
"""Seconds after a stop signal until the process ends, also in the middle of a batch, which is then folded again."""

_logger = logging.getLogger(__name__)


def run_consumer(kind: str, settings: Settings, encoder: Callable[[], Encoder] | None = None) -> None:
    """Fold one topic until SIGTERM or SIGINT; then finish and commit the current batch, and leave the group.

    Args:
        kind: one of CONSUMER_KINDS.
        settings: Kafka, store and features.
        encoder: opens the text encoder if the kind needs one; default: the one of the settings.
    """
    configure_logging()
    log_event(_logger, "consumer_loading", kind=kind, what="feature store")
    from services.store.connect import check_rights, open_rows_for_batches

    rows = open_rows_for_batches(settings)
    check_rights(rows)
    freeze_heap()
    tracing = open_tracing(settings.telemetry, f"consumer-{kind}")

    def load_encoder() -> Encoder:
        log_event(_logger, "consumer_loading", kind=kind, what="text encoder")
        return open_encoder(settings.encoder_dir)

    with stop_event() as stop, ending_within(stop, STOP_S):
        consume(kind, settings, rows, stop, encoder or load_encoder, tracing=tracing)
    if tracing:
        tracing.close()
    log_event(_logger, "consumer_stopped", kind=kind)


def consume(
    kind: str,
    settings: Settings,
    store: RowStore,
    stop: threading.Event,
    encoder: Callable[[], Encoder],
    open_source: Callable[
        [KafkaRecordSourceConfig, ConsumerObserver, Admit, PassOver], RecordSource
    ] = KafkaRecordSource,
    tracing: "Tracing | None" = None,
) -> None:
    """Fold one topic, read through `open_source`, into `store` until `stop` is set; `encoder` opens one if need be."""
    if kind not in CONSUMER_KINDS:
        raise ConfigurationError(f"no consumer of kind {kind}; there are {', '.join(CONSUMER_KINDS)}")
    kafka, chosen = settings.kafka, settings.consumers
    config = KafkaRecordSourceConfig(
        kafka=kafka,
        group=settings.group(kind),
        topic=settings.topic(kind),
        max_poll_records=chosen.max_poll_records,
        session_timeout_ms=chosen.session_timeout_ms,
        transaction_timeout_ms=chosen.transaction_timeout_ms,
    )
    observer, schema = build_observer(kind, config, tracing), build_schema(settings.features)
    rows, counts = MeteredRowStore(store, observer.on_store_call), partition_counts(kafka)

    def open_metered() -> Encoder:
        return MeteredEncoder(StoppableEncoder(encoder(), stop), observer.metrics.on_unread_text)

    handler = build_handler(kind, settings, schema, rows, open_metered, counts)
    handler = for_project(kind, handler, settings.store.project)

    folded = open_marks(settings, schema, store, kind)

    def admit_topic(committed: Mapping[int, int]) -> list[int]:
        join_lineage(store, schema)
        return folded.admit(describe_topic(kafka, config.topic), committed)

    # Reject an incompatible schema before joining the group; an unavailable store is asked again later.
    with suppress(StoreUnavailable, FencedWrite):
        join_lineage(store, schema)
    source = MarkedRecordSource(open_source(config, observer, admit_topic, folded.record), folded)
    loop = ConsumerLoop(source, handler, topic_name(kafka.topic_prefix, DEAD_LETTERS), stop, observer=observer)
    address = chosen.metrics_listen
    with serve_metrics(METRICS_LISTEN, address, observer.registry, observer.health) if address else nullcontext():
        log_event(_logger, "consumer_started", kind=kind, topic=config.topic, group=config.group)
        loop.run()


def build_observer(kind: str, config: KafkaRecordSourceConfig, tracing: "Tracing | None") -> ConsumerObserver:
    """The observer of a consumer; makes traces of its batches if there is `tracing`."""
    if tracing is None:
        return ConsumerObserver(kind)
    from services.consumers.batch_traces import BatchTraces

    return ConsumerObserver(kind, traces=BatchTraces(tracing, config.topic, config.group))


def build_handler(
    kind: str,
    settings: Settings,
    schema: Schema,
    store: RowStore,
    encoder: Callable[[], Encoder],
    partitions_of: Callable[[str], int] | None = None,
) -> BatchHandler:
    """The handler of a kind of consumer; `partitions_of` counts a topic's partitions, by default from the settings."""
    chosen, epoch = settings.consumers, settings.kafka.topic_epoch

    def decoder(kinds: frozenset[str]) -> Decoder:
        times = TimeLimits(time.time, settings.gateway.future_tolerance_s, settings.max_age_s)
        return Decoder(kinds, settings.features, times)

    match kind:
        case "behavior":
            # Only here: the consumer that writes item rows must read the stored rows.
            cached = CachedItemRowStore(store, chosen.item_cache_size, chosen.item_cache_age_s)
            topic = settings.topic("activity")
            count = partial(partitions_of, topic) if partitions_of else lambda: settings.kafka.partitions
            known = partial(read_scenario_ids, store, schema)
            gate = ScenarioGate(chosen.unregistered_scenarios, known, chosen.item_cache_age_s)
            entries = decoder(behavior.ENTRIES)
            return behavior.BehaviorHandler(cached, schema, encoder(), entries, topic, count, epoch, gate)
        case "item":
            return catalogue.ItemHandler(store, schema, encoder(), decoder(catalogue.ITEM_ENTRIES), epoch)
        case "scenario":
            kinds, most = catalogue.SCENARIO_ENTRIES, chosen.max_scenarios
            return catalogue.ScenarioHandler(store, schema, encoder(), decoder(kinds), epoch, most)
        case _:
            return ActivityHandler(store, schema, epoch, delta_times(settings, time.time))
