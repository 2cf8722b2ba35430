"""The behaviour consumer: folds events and updates of users into user rows, and outputs activity deltas.

Deltas are sums over users: of items, facets and scenarios. Updates of users are in the same topic as their events: one
partition owns a user, so the user's rows have one writer.
"""

from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from crossrec.events.v1.events_pb2 import BehaviorEvent, Entry
from services.consumers.activity_deltas import activity_deltas, pack_deltas
from services.consumers.decoding import Decoder, seconds
from services.consumers.loop import BatchResult
from services.consumers.scenario_gate import ScenarioGate
from services.features.attributes import category_keys, category_values, number_values
from services.features.dedup import EventFlags
from services.features.event_types import EVENT_TYPES
from services.features.events import Events
from services.features.hashing import NO_KEY, key64
from services.features.profile import ProfileUpdates, no_updates
from services.features.rows import Ints
from services.features.schema import Schema
from services.kafka.record_source import Record
from services.store.folding import attach_items, drop_erased, erase_user, fold_users
from services.store.protocol import RowStore
from services.text.protocol import Encoder

ENTRIES = frozenset({"behavior_event", "user_update", "user_erasure"})


class BehaviorHandler:
    """Folds behaviour events, updates of users and user erasures.

    Args:
        store: holds user rows, and the item rows that events refer to.
        schema: the feature schema.
        encoder: encodes queries and comments.
        decoder: parses and checks records.
        activity_topic: topic of the deltas.
        activity_partitions: returns its number of partitions; may raise KafkaUnavailable.
        epoch: the topics' epoch.
        gate: judges the scenarios of events; None: all are accepted.
    """

    def __init__(
        self,
        store: RowStore,
        schema: Schema,
        encoder: Encoder,
        decoder: Decoder,
        activity_topic: str,
        activity_partitions: Callable[[], int],
        epoch: int,
        gate: ScenarioGate | None = None,
    ) -> None:
        self._store, self._schema, self._encoder = store, schema, encoder
        self._decoder, self._epoch = decoder, epoch
        self._topic, self._partitions = activity_topic, activity_partitions
        self._gate = gate or ScenarioGate("accept", set, 0.0)

    def fold(self, records: Sequence[Record]) -> BatchResult:
        """Write user rows; the outputs are activity deltas.

        An erasure begins a batch of its own: the records before it must be committed first, since it deletes rows.
        """
        decoded, dead_letters = self._decoder.split(records)
        good, rejected = self._gate.admit(decoded)
        dead_letters += rejected
        number_of = {id(record): number for number, record in enumerate(records)}
        erasures = [number_of[id(record)] for record, entry in good if entry.WhichOneof("entry") == "user_erasure"]
        taken = next((number for number in erasures if number > 0), len(records))
        good = [pair for pair in good if number_of[id(pair[0])] < taken]
        if 0 in erasures:
            self._erase(*good.pop(0))
        read = self._events([pair for pair in good if pair[1].WhichOneof("entry") == "behavior_event"])
        given = [pair for pair in good if pair[1].WhichOneof("entry") == "user_update"]
        events, updates = drop_erased(self._store, self._schema, read, self._updates(given) if given else no_updates())
        flags = fold_users(self._store, self._schema, events, self._encoder.fingerprint, updates)
        deltas = activity_deltas(self._schema, events, flags)
        outputs = pack_deltas(self._topic, deltas, self._partitions()) if deltas else []
        dead_letters = [each for each in dead_letters if number_of[id(each.record)] < taken]
        counts = _counts(events, flags, erased=len(read) - len(events), erasures=int(0 in erasures))
        folded, erased = ("user_update", "folded"), ("user_update", "erased")
        counts += Counter({folded: len(updates), erased: len(given) - len(updates)})
        return BatchResult(outputs, dead_letters, taken, counts)

    def _erase(self, record: Record, entry: Entry) -> None:
        position = (self._epoch, record.partition, record.offset)
        erasure = entry.user_erasure
        erase_user(self._store, self._schema, erasure.user_id, seconds(erasure.time), position)

    def _updates(self, given: Sequence[tuple[Record, Entry]]) -> ProfileUpdates:
        config, updates = self._schema.config, [entry.user_update for _, entry in given]
        numbers, categories = config.numbers_of("user"), config.categories_of("user")
        values = [category_values(update.category_attributes) for update in updates]
        return ProfileUpdates(
            user=_objects([update.user_id for update in updates]),
            time_s=np.array([seconds(update.time) for update in updates], np.float64),
            attributes=np.array([number_values(numbers, update.attributes) for update in updates]),
            category_keys=np.array([category_keys(categories, each) for each in values], np.int64),
            position=self._positions([record for record, _ in given]),
        )

    def _positions(self, records: Sequence[Record]) -> Ints:
        return np.array([(self._epoch, r.partition, r.offset) for r in records], np.int64).reshape(len(records), 3)

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
            position=self._positions(records),
            item_key=np.full(rows, NO_KEY, np.int64),
            facet_key=np.zeros((rows, len(config.facets)), np.int64),
            text_vector=vectors,
        )
        return attach_items(self._store, self._schema, events, self._encoder.fingerprint) if rows else events


def _counts(events: Events, flags: EventFlags, erased: int, erasures: int) -> Counter[tuple[str, str]]:
    """Number of events by type and outcome; `erased` counts those from before their user's erasure."""
    outcomes = ("folded" if counted else "repeated" for counted in flags.counted.tolist())
    counts = Counter(zip((EVENT_TYPES[number] for number in events.type.tolist()), outcomes, strict=True))
    return counts + Counter({("any", "erased"): erased, ("user_erasure", "folded"): erasures})


def _objects(values: list[str]) -> NDArray[np.object_]:
    return np.array(values, object)


def _event_key(record: Record, event: BehaviorEvent) -> int:
    """Key of the event id; the position identifies an event without one."""
    return key64(event.event_id or f"{record.topic}/{record.partition}/{record.offset}")
