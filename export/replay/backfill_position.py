"""Sets the offsets at which streaming continues after a backfill."""

from services.consumers.rewind import end_offsets, offsets_since, require_stopped, set_start_offsets
from services.features.schema import build_schema
from services.settings.load import Settings
from services.settings.times import parse_time_s
from services.store.protocol import RowStore
from services.store.schema_lineage import join_lineage

KINDS = ("behavior", "activity")
"""Consumers whose rows sum events: an event must not be both in the history and in the stream."""


def stream_on(settings: Settings, rows: RowStore, stream_from: str) -> dict[str, list[int]]:
    """Record the start offsets of behaviour and activity; returns the offsets per partition, by topic.

    Args:
        settings: the Kafka connection.
        rows: the online store.
        stream_from: `end`, `beginning`, or a time (UTC, ISO 8601): earlier records count as history.

    Raises:
        ConfigurationError: consumers are running, or `stream_from` is none of these.
        TopicChanged, StoreUnavailable, KafkaUnavailable.
    """
    require_stopped(settings, KINDS)
    schema, starts = build_schema(settings.features), {}
    join_lineage(rows, schema)
    for kind in KINDS:
        topic = settings.topic(kind)
        # Existing deltas come from events whose rows the backfill replaces.
        at_end = stream_from == "end" or kind == "activity"
        offsets = (
            end_offsets(settings, topic)
            if at_end
            else offsets_since(settings, topic, parse_time_s("stream_from", stream_from))
        )
        set_start_offsets(settings, schema, rows, kind, offsets)
        starts[topic] = offsets
    return starts
