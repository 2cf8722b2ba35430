"""Training rows for random splits, to compare models with figures of others: what a row knows is all of training.

A random split leaves time aside, and so do the models that are tested on one: the factors and ids of a test row were
trained on rows of before and after it. Here its features are made from all of training, too, at one time after the last
event. A training row is made without its own share of training, of which there are FOLDS: with it, features would hold
the label (cross-fitting).

What is left out is a user's events with an item, whole: an impression, the click on it and the rating make one label.
Events without an item belong to no share. Live features are point in time, so a model of such rows is for comparisons
and never registered.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from export.datasets.requests import group_requests
from export.datasets.splits import describe_split, set_splits, split_rows
from export.datasets.storage import ROW_GROUP_ROWS, DatasetReader
from export.datasets.tables import EVENTS, SPLITS
from export.replay.history import DatasetHistory, load_catalogue
from export.replay.pipeline import ENCODER_THREADS, describe_source, fold_chunks, open_schedule
from export.replay.progress import OnProgress
from export.replay.replay import Replay
from export.rows.provenance import digest_code
from export.rows.requests import LabelledRequests, Snapshots
from export.rows.writer import INFO_FILE, TrainingRowsWriter
from export.vectors.schedule import VectorSchedule
from services.features.hashing import keys64
from services.features.ids import SEPARATOR
from services.features.item_vectors import ItemVectors
from services.features.rows import Floats, Ints
from services.features.schema import Schema, build_schema
from services.settings.load import Settings
from services.settings.training import DatasetSettings
from services.store.columns import ColumnRowStore
from services.text.encoder import open_encoder
from services.text.protocol import Encoder

FOLDS = 5
"""Shares of training; a training row knows all but one of them."""

EVERYBODY = -1
"""Share of events without an item: every row knows them."""

MOMENT_ROWS = 4096
"""Rows that are encoded at once."""


class FoldReader(DatasetReader):
    """A data set as the rows of one share know it.

    Args:
        path: directory of the data set.
        events: the events that they know, and the rows themselves, later than these.
    """

    def __init__(self, path: Path, events: pa.Table) -> None:
        super().__init__(path)
        self._events = events

    def rows(self, table: str) -> int:
        """See DatasetReader."""
        return len(self._events) if table == EVENTS.name else super().rows(table)

    def batches(
        self, table: str, columns: Sequence[str] | None = None, batch_rows: int = ROW_GROUP_ROWS
    ) -> Iterator[pa.RecordBatch]:
        """See DatasetReader."""
        if table == EVENTS.name:
            yield from self.table(table, columns).to_batches(batch_rows)
        else:
            yield from super().batches(table, columns, batch_rows)

    def table(self, table: str, columns: Sequence[str] | None = None) -> pa.Table:
        """See DatasetReader."""
        if table != EVENTS.name:
            return super().table(table, columns)
        return self._events if columns is None else self._events.select(list(columns))


def cross_fit_rows(
    settings: Settings,
    reader: DatasetReader,
    out: Path,
    rules: DatasetSettings,
    on_progress: OnProgress = lambda *_: None,
    encoder: Encoder | None = None,
) -> None:
    """Write the rows of a random split to `out`, unless they are there.

    Args:
        settings: features and encoder.
        reader: the data set.
        out: directory to fill.
        rules: shares and seed of the split.
        on_progress: called with the events done and the total.
        encoder: encodes texts; None: that of the settings.
    """
    schema, encoder = build_schema(settings.features), encoder or open_encoder(settings.encoder_dir, ENCODER_THREADS)
    data = {**describe_source(settings, reader), "history": f"all of training, cross-fitted in {FOLDS} shares"}
    data["split"] = f"split {describe_split(rules)}, seed {rules.seed}"
    if _is_current(out / INFO_FILE, schema, encoder, data):
        return
    catalogue, events = load_catalogue(reader, settings.features), split_events(reader.table(EVENTS.name), rules)
    fold, now_s = folds(events), _after_everything(events, catalogue)
    schedules: list[VectorSchedule] = []
    sources = sorted({scenario for scenario, _ in catalogue.scenarios})

    def vectors_at(time_s: float) -> ItemVectors:
        return schedules[-1].at(time_s)

    with TrainingRowsWriter(out, schema, encoder.fingerprint, sources, data, vectors_at) as writer:
        for number in range(FOLDS + 1):
            part = FoldReader(reader.path, known_to(events, fold, number, now_s))
            schedules.append(open_schedule(settings, part, catalogue, encoder, np.array([now_s])))
            replay = Replay(catalogue, schema, encoder, ColumnRowStore(schema))

            def progress(done: float, total: float, before: int = number) -> None:
                on_progress(before * len(events) + done / total * len(events), (FOLDS + 1) * len(events))

            fold_chunks(part, settings.features, catalogue, replay, lambda *moment: _write(writer, *moment), progress)


def split_events(events: pa.Table, rules: DatasetSettings) -> pa.Table:
    """The events with requests by the data's own times, and another split of the labelled rows."""
    labelled = np.flatnonzero(events["label"].is_valid().to_numpy())
    rows = events.take(pa.array(labelled))
    split = np.full(len(events), None, object)
    time_ms = rows["time"].cast(pa.int64()).to_numpy()
    split[labelled] = np.array(SPLITS, object)[split_rows(rows["user_id"], rows["request_id"], time_ms, rules)]
    place = events.schema.get_field_index("request_id")
    events = events.set_column(place, events.schema.field("request_id"), group_requests(events))
    return set_splits(events, pa.array(split, pa.string()))


def folds(events: pa.Table) -> Ints:
    """Share of each event [E]: 0 to FOLDS - 1 by user and item, FOLDS if a row of both is not for training."""
    item = pc.fill_null(events["item_id"], "")
    pair = pc.binary_join_element_wise(events["user_id"], item, SEPARATOR).combine_chunks()
    code = pair.dictionary_encode()
    key, number = keys64(code.dictionary.to_pylist()), code.indices.to_numpy().astype(np.int64)
    of_pair = (key.view(np.uint64) % np.uint64(FOLDS)).astype(np.int64)
    held = pc.fill_null(pc.not_equal(events["split"], "train"), False).to_numpy()
    of_pair[number[held]] = FOLDS
    has_item = pc.not_equal(item, "").to_numpy()
    result: Ints = np.where(has_item, of_pair[number], EVERYBODY)
    return result


def known_to(events: pa.Table, fold: Ints, number: int, now_s: float) -> pa.Table:
    """What the labelled rows of a share know, without labels, then these rows at `now_s`, seconds since 1970."""
    behaviour, labelled = pc.not_equal(events["type"], "candidate").to_numpy(), events["label"].is_valid().to_numpy()
    known = events.filter(pa.array(behaviour & (fold != number) & (fold != FOLDS)))
    place = {name: events.schema.get_field_index(name) for name in ("label", "split", "type", "time")}
    for name in ("label", "split"):
        field = events.schema.field(name)
        known = known.set_column(place[name], field, pa.nulls(len(known), field.type))
    rows = events.filter(pa.array(labelled & (fold == number)))
    rows = rows.set_column(place["type"], events.schema.field("type"), pa.array(["candidate"] * len(rows)))
    field = events.schema.field("time")
    now = pa.array(np.full(len(rows), round(now_s * 1000)), pa.int64()).cast(field.type)
    return pa.concat_tables([known, rows.set_column(place["time"], field, now)])


def _after_everything(events: pa.Table, catalogue: DatasetHistory) -> float:
    """A time after all events and updates, seconds since 1970."""
    times: list[Floats] = [
        events["time"].cast(pa.int64()).to_numpy() / 1000.0,
        np.array([state.time_s for _, state in catalogue.items]),
        catalogue.item_scenarios.time_s,
        catalogue.users.time_s,
    ]
    return float(np.ceil(max(values.max() for values in times if len(values)))) + 1.0


def _write(writer: TrainingRowsWriter, requests: LabelledRequests, rows: Snapshots, stamp: Ints) -> None:
    for begin in range(0, len(stamp), MOMENT_ROWS):
        part = slice(begin, begin + MOMENT_ROWS)
        writer.add_moments(rows, requests.part(part), stamp[part])


def _is_current(made: Path, schema: Schema, encoder: Encoder, data: dict[str, Any]) -> bool:
    """Whether finished rows of the same data, split, features and code are there."""
    if not made.exists():
        return False
    info = json.loads(made.read_text())
    wanted = {
        "schema_fingerprint": schema.fingerprint,
        "encoder_fingerprint": encoder.fingerprint,
        "code": digest_code(),
        "data": json.loads(json.dumps(data)),
    }
    return bool(wanted.items() <= info.items())
