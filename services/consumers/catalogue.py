"""The item and scenario consumers: fold updates and tombstones into rows of the catalogue."""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from crossrec.events.v1.events_pb2 import Entry, ItemUpdate, ScenarioUpdate
from services.consumers.dead_letters.record import DeadLetter
from services.consumers.decoding import Decoder, seconds
from services.consumers.loop import BatchResult
from services.events.routing import KEY_SEPARATOR
from services.features.attributes import category_values, number_values
from services.features.catalogue import CatalogueState, ItemState, ScenarioState, is_deleted
from services.features.ids import MAX_STORED_ID_BYTES, find_length_fault
from services.features.positions import is_folded
from services.features.schema import Schema, View
from services.kafka.record_source import Record
from services.store.folding import (
    SCENARIO_INDEX_KEY,
    fold_item_scenarios,
    fold_states,
    index_scenarios,
    read_scenario_ids,
)
from services.store.protocol import Key, RowStore, read_rows
from services.text.protocol import Encoder

ITEM_ENTRIES = frozenset({"item_update", "item_scenario_update"})
SCENARIO_ENTRIES = frozenset({"scenario_update"})

RecordChange = tuple[Record, Entry | None]
"""A record and its entry; None: a tombstone."""

Change = tuple[Key, CatalogueState | None, tuple[int, int, int]]
PairChange = tuple[Key, float, Mapping[str, float], tuple[int, int, int]]


class _CatalogueHandler(ABC):
    """Base of both handlers: decoding, tombstones, text encoding.

    Args:
        store: holds the rows.
        schema: the feature schema.
        encoder: encodes the texts.
        decoder: parses and checks records.
        epoch: the topics' epoch.
    """

    def __init__(self, store: RowStore, schema: Schema, encoder: Encoder, decoder: Decoder, epoch: int) -> None:
        self._store, self._schema, self._encoder = store, schema, encoder
        self._decoder, self._epoch = decoder, epoch

    def fold(self, records: Sequence[Record]) -> BatchResult:
        """Write rows."""
        # A null value with a key is a tombstone: the deletion of its key in a compacted topic.
        tombstones = [record for record in records if _is_tombstone(record)]
        good, dead_letters = self._decoder.split([record for record in records if not _is_tombstone(record)])
        changes: list[RecordChange] = list(good)
        for record in tombstones:
            if fault := self._key_fault(record):
                dead_letters.append(DeadLetter(record, f"key: {fault}"))
            else:
                changes.append((record, None))
        changes.sort(key=lambda change: (change[0].partition, change[0].offset))
        changes, refused = self._admit(changes)
        dead_letters += refused
        self._fold_changes(changes)
        kinds = (entry.WhichOneof("entry") if entry else "tombstone" for _, entry in changes)
        return BatchResult(dead_letters=dead_letters, counts=Counter((str(kind), "folded") for kind in kinds))

    def _admit(self, changes: list[RecordChange]) -> tuple[list[RecordChange], list[DeadLetter]]:
        """The changes that may be folded, and dead letters for the others; all may by default."""
        return changes, []

    @abstractmethod
    def _fold_changes(self, changes: Sequence[RecordChange]) -> None:
        """Write the rows of the changes, given in offset order; None is a tombstone."""

    def _ids(self, key: str) -> Key:
        """The ids in a record's key."""
        return (key,)

    def _ids_of(self, record: Record) -> Key | None:
        """The ids in a record's key; None if it is not text."""
        try:
            return self._ids((record.key or b"").decode())
        except UnicodeDecodeError:
            return None

    def _key_fault(self, record: Record) -> str | None:
        """Why the key names nothing that may be stored; rows may have ids from before the rules of ids."""
        ids = self._ids_of(record)
        if ids is None:
            return "not an id in UTF-8"
        if not all(ids):
            return "an id is empty"
        return next(filter(None, (find_length_fault(part, MAX_STORED_ID_BYTES) for part in ids)), None)

    def _position(self, record: Record) -> tuple[int, int, int]:
        return (self._epoch, record.partition, record.offset)

    def _fold_states(self, view: View, changes: Sequence[Change]) -> None:
        if not changes:
            return
        keys, states, positions = zip(*changes, strict=True)
        vectors = self._encoder.encode([state.text if state else "" for state in states])
        fold_states(self._store, self._schema, view, keys, states, positions, vectors, self._encoder.fingerprint)


class ItemHandler(_CatalogueHandler):
    """Folds updates of items, and of items in scenarios."""

    def _ids(self, key: str) -> Key:
        """The item id, or item id and scenario id."""
        return tuple(key.split(KEY_SEPARATOR, 1))

    def _fold_changes(self, changes: Sequence[RecordChange]) -> None:
        items: list[Change] = []
        pairs: list[PairChange] = []
        for record, entry in changes:
            position = self._position(record)
            if entry is None:
                ids = self._ids_of(record) or ()
                if len(ids) == 1:
                    items.append((ids, None, position))
                    continue
                # A tombstone takes the time of the update it deletes, so that update must be in the row first.
                if any(key == ids for key, *_ in pairs):
                    self._fold_pairs(pairs)
                    pairs = []
                pairs.append((ids, np.nan, {}, position))
            elif entry.WhichOneof("entry") == "item_update":
                items.append(((entry.item_update.item_id,), _item_state(entry.item_update), position))
            else:
                update = entry.item_scenario_update
                key = (update.item_id, update.scenario_id)
                pairs.append((key, seconds(update.time), update.attributes, position))
        self._fold_states(self._schema["item"], items)
        self._fold_pairs(pairs)

    def _fold_pairs(self, pairs: Sequence[PairChange]) -> None:
        if not pairs:
            return
        keys, times, given, positions = zip(*pairs, strict=True)
        declared = self._schema.config.numbers_of("item_scenario")
        values = [number_values(declared, attributes) for attributes in given]
        fold_item_scenarios(
            self._store,
            self._schema,
            list(keys),
            np.array(times, np.float64),
            np.array(values, np.float64).reshape(len(pairs), -1),
            np.array(positions, np.int64),
        )


class ScenarioHandler(_CatalogueHandler):
    """Folds updates of scenarios, and keeps the index of all scenarios.

    Args:
        store: holds the rows.
        schema: the feature schema.
        encoder: encodes the texts.
        decoder: parses and checks records.
        epoch: the topic's epoch.
        most: most scenarios; an update that would create one more is a dead letter.
    """

    def __init__(
        self, store: RowStore, schema: Schema, encoder: Encoder, decoder: Decoder, epoch: int, most: int
    ) -> None:
        super().__init__(store, schema, encoder, decoder, epoch)
        self._most = most

    def _admit(self, changes: list[RecordChange]) -> tuple[list[RecordChange], list[DeadLetter]]:
        listed = set(read_scenario_ids(self._store, self._schema))
        admitted: list[RecordChange] = []
        refused: list[DeadLetter] = []
        for record, entry in changes:
            if entry is None:
                listed -= set(self._ids_of(record) or ())
            elif (scenario := entry.scenario_update.scenario_id) in listed or self._has_room(listed, record, scenario):
                listed.add(scenario)
            else:
                reason = f"scenario_update.scenario_id: {self._most} scenarios are listed, the most that"
                refused.append(DeadLetter(record, f"{reason} consumers.max_scenarios allows: delete one, then replay"))
                continue
            admitted.append((record, entry))
        return admitted, refused

    def _has_room(self, listed: set[str], record: Record, scenario: str) -> bool:
        """Whether a scenario that is not listed may be.

        In a batch that is repeated after a crash, the index may be newer than the record: what had no room then has
        none now, even if a scenario was deleted since, and what is not listed any more was deleted.
        """
        if len(listed) >= self._most:
            return False
        (index,) = read_rows(self._store, self._schema["scenario_index"], [SCENARIO_INDEX_KEY])
        if index is None or not is_folded(self._position(record), index["position"].tolist()):
            return True
        (row,) = read_rows(self._store, self._schema["scenario"], [(scenario,)])
        return row is not None and bool(is_folded(self._position(record), row["position"].tolist()))

    def _fold_changes(self, changes: Sequence[RecordChange]) -> None:
        states: list[Change] = []
        for record, entry in changes:
            if entry is None:
                states.append((self._ids_of(record) or (), None, self._position(record)))
            else:
                update = entry.scenario_update
                states.append(((update.scenario_id,), _scenario_state(update), self._position(record)))
        if not states:
            return
        view, keys = self._schema["scenario"], list(dict.fromkeys(key for key, _, _ in states))
        self._fold_states(view, states)
        # By the rows, not by the states: a batch that is repeated after a crash may hold less than the rows do.
        deleted = [row is None or is_deleted(row) for row in read_rows(self._store, view, keys)]
        listed = [key[0] for key, gone in zip(keys, deleted, strict=True) if not gone]
        unlisted = [key[0] for key, gone in zip(keys, deleted, strict=True) if gone]
        index_scenarios(self._store, self._schema, listed, states[-1][2], unlisted)


def _is_tombstone(record: Record) -> bool:
    return record.value is None and bool(record.key)


def _item_state(update: ItemUpdate) -> ItemState:
    return ItemState(
        time_s=seconds(update.time),
        title=update.title,
        description=update.description,
        categories=tuple(update.categories),
        brand=update.brand,
        price=update.price if update.HasField("price") else -1.0,
        attributes=dict(update.attributes),
        category_attributes=category_values(update.category_attributes),
    )


def _scenario_state(update: ScenarioUpdate) -> ScenarioState:
    return ScenarioState(seconds(update.time), update.name, update.description)
