"""The activity consumer: sums activity deltas into rows of items, items per scenario, facets and scenarios."""

from collections.abc import Callable, Sequence

import numpy as np

from crossrec.events.v1.activity_pb2 import ActivityDelta, ScenarioCounts
from services.consumers.activity_deltas import parse_deltas, stack_deltas
from services.consumers.dead_letters.record import DeadLetter
from services.consumers.decoding import TimeLimits
from services.consumers.loop import BatchResult
from services.events.codec import BadRecord
from services.features.config import DAY_S
from services.features.schema import Schema
from services.kafka.record_source import Record
from services.settings.load import Settings
from services.store.folding import fold_activity
from services.store.protocol import RowStore
from services.store.schema_lineage import SchemaCompatibility, read_lineage

Part = tuple[tuple[str, ...], Record, ActivityDelta | ScenarioCounts]

CLOCK_SKEW_S = 60.0
"""Tolerated difference of two brokers' clocks, seconds."""

VIEWS = {"item_id": "item_activity", "facet_key": "facet_activity", "scenario_id": "scenario_activity"}
"""Subject of a delta to the view of its rows; an item's delta also has parts per scenario."""


def delta_times(settings: Settings, clock: Callable[[], float]) -> TimeLimits:
    """Accepted times of deltas: those of the events that they sum up, which may have waited in Kafka meanwhile.

    Events are judged by the time of their own record, and may be folded, or replayed as dead letters, as long as Kafka
    retains them. Brokers' clocks may differ.
    """
    retention, gateway = settings.retention, settings.gateway
    waiting_s = (retention.behavior_days + retention.dead_letter_days) * DAY_S
    return TimeLimits(clock, gateway.future_tolerance_s + CLOCK_SKEW_S, settings.max_age_s + waiting_s)


class ActivityHandler:
    """Folds activity deltas, also those of older feature schemas of the store.

    Args:
        store: holds the activity rows.
        schema: the feature schema.
        epoch: the topics' epoch.
        times: accepted times of deltas.
    """

    def __init__(self, store: RowStore, schema: Schema, epoch: int, times: TimeLimits) -> None:
        self._store, self._schema, self._epoch, self._times = store, schema, epoch, times
        self._schemas = SchemaCompatibility(schema, lambda: read_lineage(store), newer=False)

    def fold(self, records: Sequence[Record]) -> BatchResult:
        """Write activity rows. Raises StaleSchema for deltas of a newer schema than this consumer's."""
        dead_letters: list[DeadLetter] = []
        parts: dict[str, list[Part]] = {view: [] for view in (*VIEWS.values(), "item_scenario_activity")}
        for record in records:
            try:
                now_s = self._times.record_time_s(record)
                deltas = parse_deltas(self._schema, record.value, self._times, now_s, self._schemas.can_fold)
            except BadRecord as error:
                dead_letters.append(DeadLetter(record, str(error)))
                continue
            for delta in deltas:
                subject = delta.WhichOneof("subject")
                parts[VIEWS[subject]].append(((getattr(delta, subject),), record, delta))
                pairs = [((delta.item_id, part.scenario_id), record, part) for part in delta.scenarios]
                parts["item_scenario_activity"].extend(pairs)
        for view, found in parts.items():
            self._fold(view, found)
        return BatchResult(dead_letters=dead_letters)

    def _fold(self, view: str, parts: Sequence[Part]) -> None:
        if not parts:
            return
        deltas = stack_deltas(self._schema, [group for group, _, _ in parts], [message for _, _, message in parts])
        position = np.array([(self._epoch, r.partition, r.offset) for _, r, _ in parts], np.int64)
        fold_activity(self._store, self._schema, view, deltas, position)
