"""Backfill: folds a data set's history directly into the online store, in several processes.

Each process folds the events of a share of the users with the streaming code and writes their rows. Activity of items
and scenarios is summed per process and then over all processes. Memory holds rows, never the history.
"""

import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import as_completed
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import pyarrow.compute as pc

from export.datasets.errors import DatasetError
from export.datasets.storage import DatasetReader
from export.replay.event_steps import ACTIVITY_GROUPS
from export.replay.history import REPLAYED, behavior_chunks, load_catalogue
from export.replay.replay import Replay
from export.worker_processes import open_pool
from services.features.activity import DeltaColumns
from services.features.dedup import trim_event_ids
from services.features.feature import POSITION
from services.features.rows import Block
from services.features.schema import Schema, View, build_schema
from services.server.security.pseudonyms import Pseudonymizer, open_pseudonymizer
from services.settings.load import Settings
from services.store.columns import ColumnRowStore
from services.store.folding import fold_activity
from services.store.protocol import Key, RowStore, read_block
from services.store.schema_lineage import join_lineage
from services.text.encoder import open_encoder

CHUNK_ROWS = 65_536
"""Events read at a time."""

EVENTS_PER_WORKER = 20_000
"""Events that are folded in about the time in which a process starts."""

WRITE_ROWS = 500
"""Rows per write."""

CATALOGUE = ("scenario", "scenario_index", "item", "item_scenario")
USERS = ("user", "user_scenario")
USER = "user_id"


@dataclass(frozen=True)
class ShareResult:
    """Result of one process.

    Args:
        events: number of folded events.
        rows: number of written rows, by view.
        activity: deltas of its events for activity rows, by view.
    """

    events: int
    rows: dict[str, int]
    activity: dict[str, DeltaColumns]


@dataclass(frozen=True)
class BackfillResult:
    """Result of a backfill: folded events, and written rows by view."""

    events: int
    rows: dict[str, int]


def fill_store(settings: Settings, data: Path, until_s: float = np.inf, workers: int = 0) -> BackfillResult:
    """Fold the history before `until_s` (all of it by default) and write the rows to the online store.

    Streaming can continue from there: the rows' position is before any Kafka offset, so every streamed event is new.

    Args:
        settings: where the store and the text encoder are.
        data: directory of an imported data set.
        until_s: seconds since 1970.
        workers: number of processes; 0: as many as are worth their start, at most one per core.

    Raises:
        StoreUnavailable.
        DatasetError: the data set breaks the events contract, or has more scenarios than `consumers.max_scenarios`.
        FencedWrite: the store holds rows that were streamed.
        StaleSchema, IncompatibleSchema: the store holds rows of another feature schema.
    """
    shares = workers or worker_count(DatasetReader(data).rows("events"), os.cpu_count() or 1)
    schema = build_schema(settings.features)
    check_history(settings, DatasetReader(data))
    join_lineage(_online(settings), schema)
    activity, rows, events = ColumnRowStore(schema), dict[str, int](), 0
    for number, part in enumerate(_fold_shares(settings, data, until_s, shares)):
        events += part.events
        rows |= {view: rows.get(view, 0) + count for view, count in part.rows.items()}
        for view, deltas in part.activity.items():
            fold_activity(activity, schema, view, deltas, np.tile((*REPLAYED, number), (len(deltas), 1)))
    rows |= _write(activity, _online(settings), schema, list(ACTIVITY_GROUPS), Pseudonymizer())
    return BackfillResult(events, {view: count for view, count in rows.items() if count})


def check_history(settings: Settings, reader: DatasetReader) -> None:
    """Raise DatasetError for a data set that holds what gateway and consumers refuse; writes nothing."""
    reader.check_contract(time.time() + settings.gateway.future_tolerance_s)
    check_scenarios(reader, settings.consumers.max_scenarios)


def check_scenarios(reader: DatasetReader, most: int) -> None:
    """Raise DatasetError for a data set with more than `most` scenarios, as the consumer refuses them."""
    found = len(pc.unique(reader.table("scenarios", ["scenario_id"])["scenario_id"]))
    if found > most:
        raise DatasetError(
            f"{reader.path / 'scenarios.parquet'}: {found} scenarios, at most {most} are served: the work of every "
            "ranking grows with them; merge some, or raise consumers.max_scenarios"
        )


def worker_count(events: int, cores: int) -> int:
    """Number of processes for a history: each must load its packages and the catalogue before it folds."""
    return max(1, min(cores, events // EVENTS_PER_WORKER))


def _fold_shares(settings: Settings, data: Path, until_s: float, shares: int) -> Iterator[ShareResult]:
    if shares == 1:
        yield fold_share(settings, data, until_s, 0, 1)
        return
    with open_pool(shares) as pool:
        futures = [pool.submit(fold_share, settings, data, until_s, share, shares) for share in range(shares)]
        for future in as_completed(futures):
            yield future.result()


def fold_share(settings: Settings, data: Path, until_s: float, share: int, shares: int) -> ShareResult:
    """Fold the events of one share of the users and write their rows; share 0 writes the catalogue's rows, too."""
    schema, reader = build_schema(settings.features), DatasetReader(data)
    encoder = open_encoder(settings.encoder_dir)
    store = ColumnRowStore(schema)
    replay = Replay(load_catalogue(reader, schema.config, share, shares), schema, encoder, store)
    events = 0
    for behavior, texts in behavior_chunks(reader, schema.config, until_s, share, shares, CHUNK_ROWS):
        replay.feed(behavior, texts)
        replay.run(float(np.nextafter(behavior.time_s[-1], np.inf)), lambda *_: None)
        events += len(behavior)
    replay.run(until_s, lambda *_: None)
    views = (*CATALOGUE, *USERS) if share == 0 else USERS
    activity = {view: _activity_deltas(store, schema, view) for view in ACTIVITY_GROUPS}
    written = _write(store, _online(settings), schema, views, open_pseudonymizer(settings.privacy))
    return ShareResult(events, written, activity)


def with_initial_position(schema: Schema, block: Block) -> Block:
    """The rows with a position before every streamed record."""
    position = np.array([0, *[-1] * (len(POSITION) - 1)], np.int64)
    event_ids = trim_event_ids(schema.config, block) if "event_ids" in block.ragged else {}
    return block.with_columns({"position": np.tile(position, (block.size, 1))}, event_ids)


def _write(
    store: ColumnRowStore, online: RowStore, schema: Schema, views: Sequence[str], pseudonyms: Pseudonymizer
) -> dict[str, int]:
    written = {}
    for view in views:
        keys = list(store.ids(schema[view]))
        for begin in range(0, len(keys), WRITE_ROWS):
            chunk = keys[begin : begin + WRITE_ROWS]
            block = with_initial_position(schema, read_block(store, schema[view], chunk))
            online.write(pseudonymize_keys(schema[view], chunk, pseudonyms), block)
        written[view] = len(keys)
    return written


def pseudonymize_keys(view: View, keys: Sequence[Key], pseudonyms: Pseudonymizer) -> Sequence[Key]:
    """The keys with user ids replaced by their pseudonyms; the user id is the first part of a key that has one."""
    if USER not in view.entities:
        return keys
    return [(pseudonyms.pseudonymize(user), *rest) for user, *rest in keys]


def _activity_deltas(store: ColumnRowStore, schema: Schema, view: str) -> DeltaColumns:
    """All rows of an activity view as deltas."""
    keys = list(store.ids(schema[view]))
    block = read_block(store, schema[view], keys)
    group = np.array(keys, object).reshape(len(keys), len(schema[view].entities))
    return DeltaColumns(group, **{name: _column(block, name, width) for name, width in _widths(schema).items()})


def _widths(schema: Schema) -> dict[str, int | None]:
    """Width of each delta column that a view may lack; None for a scalar."""
    widths: dict[str, int | None] = {field.name: None for field in fields(DeltaColumns) if field.name != "group"}
    return widths | {
        "hours": 24,
        "repeat_engagement": len(schema.config.half_lives_s),
        "paid": 2,
        "opinions": schema.config.opinion_width,
    }


def _column(block: Block, name: str, width: int | None) -> np.ndarray:
    if name in block.fixed:
        return block.floats(name)
    missing = {"last_value": -1.0}.get(name, 0.0)
    return np.full((block.size, width) if width else block.size, missing)


def _online(settings: Settings) -> RowStore:
    from services.store.connect import open_rows_for_batches

    return open_rows_for_batches(settings)
