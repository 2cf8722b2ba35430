"""The behaviour consumer: user rows, and what the batch adds to the activity of items and scenarios."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from crossrec.events.v1.events_pb2 import BehaviorEvent, Entry
from services.consumers.decoding import Decoder, seconds
from services.consumers.deltas import activity_outputs
from services.consumers.log import Record
from services.consumers.loop import Outcome
from services.features.behavior import Events
from services.features.hashing import NO_KEY, key64
from services.features.schema import Schema
from services.store.folding import erase_user, fold_users, with_items
from services.store.protocol import RowStore
from services.text.protocol import Encoder

ENTRIES = frozenset({"behavior_event", "user_erasure"})


class BehaviorFolder:
    """Folds behaviour events and user erasures.

    Args:
        store: holds user rows; items are looked up in it.
        schema: the feature schema.
        encoder: encodes queries and comments.
        decoder: parses and checks records.
        activity_topic: where deltas go.
        epoch: the topics' epoch.
    """

    def __init__(
        self, store: RowStore, schema: Schema, encoder: Encoder, decoder: Decoder, activity_topic: str, epoch: int
    ) -> None:
        self._store, self._schema, self._encoder = store, schema, encoder
        self._decoder, self._topic, self._epoch = decoder, activity_topic, epoch

    def fold(self, records: Sequence[Record]) -> Outcome:
        """Write user rows; the outputs are activity deltas."""
        good, letters = self._decoder.split(records)
        events = self._events([pair for pair in good if pair[1].WhichOneof("entry") == "behavior_event"])
        events = self._fold_in_order(good, events)
        return Outcome(activity_outputs(self._schema, self._topic, events), letters)

    def _fold_in_order(self, good: Sequence[tuple[Record, Entry]], events: Events) -> Events:
        """Fold the events, stopping at every erasure to erase; returns them with `returning` known."""
        folded, seen, returning = 0, 0, [events.returning[:0]]
        for record, entry in good:
            if entry.WhichOneof("entry") == "behavior_event":
                seen += 1
                continue
            returning.append(self._fold_users(events, folded, seen))
            folded = seen
            position = (self._epoch, record.partition, record.offset)
            erase_user(self._store, self._schema, entry.user_erasure.user_id, position)
        returning.append(self._fold_users(events, folded, seen))
        return replace(events, returning=np.concatenate(returning))

    def _fold_users(self, events: Events, begin: int, end: int) -> NDArray[np.bool_]:
        part = events.take(np.arange(begin, end))
        return fold_users(self._store, self._schema, part, self._encoder.fingerprint).returning

    def _events(self, good: Sequence[tuple[Record, Entry]]) -> Events:
        records = [record for record, _ in good]
        behavior = [entry.behavior_event for _, entry in good]
        rows, config = len(good), self._schema.config
        texts = [event.text for event in behavior]
        vectors = self._encoder.encode(texts) if any(texts) else np.zeros((rows, config.text_dims))
        events = Events(
            user=_objects([event.user_id for event in behavior]),
            scenario=_objects([event.scenario_id for event in behavior]),
            item=_objects([event.item_id for event in behavior]),
            type=np.array([event.type - 1 for event in behavior], np.int64),
            time_s=np.array([seconds(event.time) for event in behavior], np.float64),
            value=np.array([e.value if e.HasField("value") else np.nan for e in behavior], np.float64),
            event_key=np.array([_event_key(r, e) for r, e in zip(records, behavior, strict=True)], np.int64),
            position=np.array([(self._epoch, r.partition, r.offset) for r in records], np.int64).reshape(rows, 3),
            item_key=np.full(rows, NO_KEY, np.int64),
            facet_key=np.zeros((rows, len(config.facets)), np.int64),
            text_vector=vectors,
            returning=np.zeros((rows, 1 + len(config.facets)), bool),
        )
        return with_items(self._store, self._schema, events, self._encoder.fingerprint) if rows else events


def _objects(values: list[str]) -> NDArray[np.object_]:
    return np.array(values, object)


def _event_key(record: Record, event: BehaviorEvent) -> int:
    """Key of the event id; an event without one is known by its position."""
    return key64(event.event_id or f"{record.topic}/{record.partition}/{record.offset}")
