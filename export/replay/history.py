"""Reads the tables of a data set into arrays in time order, whole or in chunks, for the replay.

Knows the tables' columns; knows nothing of features beyond the array shapes that folding needs.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from export.datasets.requests import group_requests
from export.datasets.storage import DatasetReader
from export.replay.attribute_columns import check_kinds, context_columns, key_columns, number_columns
from export.rows.requests import LabelledRequests, Strings
from services.features.catalogue import ItemState, ScenarioState
from services.features.config import FeatureConfig
from services.features.event_types import EVENT_TYPES
from services.features.events import Events
from services.features.hashing import NO_KEY, keys64
from services.features.profile import ProfileUpdates, no_updates
from services.features.rows import Floats

ATTRIBUTE_COLUMNS = ("attributes", "category_attributes")

REPLAYED = (0, 0)
"""Topic epoch and partition of replayed records; Kafka's epochs start at 1."""


@dataclass(frozen=True)
class ItemScenarios:
    """States of items in scenarios as columns, in time order; attributes [E, A] as declared."""

    item: Strings
    scenario: Strings
    time_s: Floats
    attributes: Floats


@dataclass(frozen=True)
class DatasetHistory:
    """A data set as arrays, each in time order."""

    behavior: Events
    behavior_text: Strings
    requests: LabelledRequests
    items: list[tuple[str, ItemState]]
    item_scenarios: ItemScenarios
    scenarios: list[tuple[str, ScenarioState]]
    users: ProfileUpdates = field(default_factory=no_updates)


def load_history(reader: DatasetReader, config: FeatureConfig) -> DatasetHistory:
    """Read a data set. Rows of type `candidate` are requests only; labelled impressions are both."""
    events = reader.table("events")
    behavior = _without_candidates(events)
    return replace(
        load_catalogue(reader, config),
        behavior=_behavior(behavior, config, 0),
        behavior_text=_strings(behavior["text"]),
        requests=_requests(events.filter(pc.is_valid(events["label"])), config),
    )


def load_catalogue(reader: DatasetReader, config: FeatureConfig, share: int = 0, shares: int = 1) -> DatasetHistory:
    """Read a data set's items, scenarios and attributes of users (of a share of them), without events and requests."""
    nothing = reader.schema("events").empty_table()
    items = reader.table("items")
    own = pc.is_null(items["scenario_id"])
    for entity, kept in (("item", own), ("item_scenario", pc.invert(own))):
        check_kinds("items", items.filter(kept), config, entity, ATTRIBUTE_COLUMNS)  # type: ignore[arg-type]
    return DatasetHistory(
        behavior=_behavior(nothing, config, 0),
        behavior_text=_strings(nothing["text"]),
        requests=_requests(nothing, config),
        items=list(_item_states(items.filter(own))),
        item_scenarios=_item_scenarios(items.filter(pc.invert(own)), config),
        scenarios=[
            (row["scenario_id"], ScenarioState(row["time"].timestamp(), row["name"], row["description"]))
            for row in reader.table("scenarios").to_pylist()
        ],
        users=_profile_updates(reader.table("users"), config, share, shares),
    )


def _profile_updates(users: pa.Table, config: FeatureConfig, share: int, shares: int) -> ProfileUpdates:
    """Updates in time order; the replay sets their positions."""
    check_kinds("users", users, config, "user", ATTRIBUTE_COLUMNS)
    if not users.num_rows or not config.attributes_of("user"):
        return no_updates()
    if shares > 1:
        users = users.filter(_share_mask(users["user_id"], share, shares))
    rows = users.num_rows
    return ProfileUpdates(
        user=_strings(users["user_id"]),
        time_s=_seconds(users["time"]),
        attributes=number_columns(users["attributes"], config.numbers_of("user"), rows),
        category_keys=key_columns(users["category_attributes"], config.categories_of("user"), rows),
        position=np.zeros((rows, 3), np.int64),
    )


def behavior_chunks(
    reader: DatasetReader, config: FeatureConfig, before_s: float, share: int, shares: int, rows: int
) -> Iterator[tuple[Events, Strings]]:
    """Read behaviour events and their texts in time order, about `rows` rows of the file at a time.

    Events with the same time are never split over two chunks. Positions count the events of the share.

    Args:
        reader: the data set.
        config: the feature configuration.
        before_s: events from this time on are skipped, seconds since 1970.
        share: index of the share of users to read; users are split by the hash of their id.
        shares: number of shares.
        rows: rows of the file per chunk; a chunk is larger where many events have the same time.
    """
    pending, done = reader.schema("events").empty_table(), 0
    for batch in reader.batches("events", batch_rows=rows):
        table = _without_candidates(pa.Table.from_batches([batch]))
        table = pa.concat_tables([pending, table.filter(_share_mask(table["user_id"], share, shares))])
        if not table.num_rows:
            continue
        last = pc.less(table["time"], table["time"][-1])
        ready, pending = table.filter(last), table.filter(pc.invert(last))
        if ready.num_rows and _seconds(ready["time"])[0] < before_s:
            yield _chunk(ready, config, before_s, done)
            done += ready.num_rows
    if pending.num_rows and _seconds(pending["time"])[0] < before_s:
        yield _chunk(pending, config, before_s, done)


@dataclass(frozen=True)
class LabelledChunk:
    """A stretch of a history, without updates.

    Args:
        behavior: its events.
        behavior_text: their texts.
        requests: its labelled rows.
        time_s: times of all rows of the events table in it, rising.
        until_s: the time before which everything is in this chunk or an earlier one; a labelled row has it.
    """

    behavior: Events
    behavior_text: Strings
    requests: LabelledRequests
    time_s: Floats
    until_s: float


def labelled_chunks(reader: DatasetReader, config: FeatureConfig, rows: int) -> Iterator[LabelledChunk]:
    """Read events and labelled rows in time order, about `rows` rows of the file at a time.

    A chunk ends before the time of a labelled row, where a replay stops anyway; it is larger if there is none.
    """
    pending, done = reader.schema("events").empty_table(), 0
    for batch in reader.batches("events", batch_rows=rows):
        table = pa.Table.from_batches([batch])
        pending = pa.concat_tables([pending, table])
        labelled = table["time"].filter(pc.is_valid(table["label"]))
        if len(labelled) and pc.less(pending["time"][0], labelled[-1]).as_py():
            ready = pc.less(pending["time"], labelled[-1])
            whole, pending = pending.filter(ready), pending.filter(pc.invert(ready))
            chunk = _labelled_chunk(whole, config, done, float(_seconds(labelled[-1:])[0]))
            yield chunk
            done += len(chunk.behavior)
    if pending.num_rows:
        yield _labelled_chunk(pending, config, done, np.inf)


def _labelled_chunk(table: pa.Table, config: FeatureConfig, first: int, until_s: float) -> LabelledChunk:
    behavior = _without_candidates(table)
    return LabelledChunk(
        behavior=_behavior(behavior, config, first),
        behavior_text=_strings(behavior["text"]),
        requests=_requests(table.filter(pc.is_valid(table["label"])), config),
        time_s=_seconds(table["time"]),
        until_s=until_s,
    )


def train_times(reader: DatasetReader) -> Floats:
    """Times of the labelled rows to train on, seconds since 1970."""
    found = []
    for batch in reader.batches("events", ["time", "label", "split"]):
        table = pa.Table.from_batches([batch])
        table = table.filter(pc.is_valid(table["label"]))
        found.append(_seconds(table.filter(pc.equal(table["split"], "train"))["time"]))
    return np.concatenate(found) if found else np.zeros(0)


def count_users(reader: DatasetReader) -> int:
    """Number of users with events; memory holds their ids."""
    users: set[str] = set()
    for batch in reader.batches("events", ["user_id", "type"]):
        behavior = _without_candidates(pa.Table.from_batches([batch]))
        users.update(pc.unique(behavior["user_id"]).to_pylist())
    return len(users)


def _chunk(table: pa.Table, config: FeatureConfig, before_s: float, first: int) -> tuple[Events, Strings]:
    table = table.slice(0, int(np.searchsorted(_seconds(table["time"]), before_s)))
    return _behavior(table, config, first), _strings(table["text"])


def _share_mask(users: pa.ChunkedArray, share: int, shares: int) -> pa.Array:
    """Mask of the users in a share."""
    encoded = users.combine_chunks().dictionary_encode()
    keys = keys64(encoded.dictionary.to_pylist()).view(np.uint64)
    return pa.array((keys % shares == share)[encoded.indices.to_numpy()])


def _without_candidates(events: pa.Table) -> pa.Table:
    return events.filter(pc.not_equal(events["type"], "candidate"))


def _strings(column: pa.ChunkedArray) -> Strings:
    """A string column as objects, equal strings shared; null becomes the empty string."""
    combined = pc.fill_null(column, "").combine_chunks().dictionary_encode()
    words = np.array(combined.dictionary.to_pylist() or [""], object)
    result: Strings = words[combined.indices.to_numpy(zero_copy_only=False)]
    return result


def _seconds(column: pa.ChunkedArray) -> Floats:
    result: Floats = pc.cast(column, pa.int64()).to_numpy() / 1000.0
    return result


def _behavior(table: pa.Table, config: FeatureConfig, first: int) -> Events:
    rows = table.num_rows
    position = np.zeros((rows, 3), np.int64)
    position[:, :2] = REPLAYED
    position[:, 2] = np.arange(first, first + rows)
    return Events(
        user=_strings(table["user_id"]),
        scenario=_strings(table["scenario_id"]),
        item=_strings(table["item_id"]),
        type=pc.index_in(table["type"], pa.array(EVENT_TYPES)).to_numpy().astype(np.int64),
        time_s=_seconds(table["time"]),
        value=pc.fill_null(table["value"], float("nan")).to_numpy(),
        event_key=keys64(table["event_id"].to_pylist()),
        position=position,
        item_key=np.full(rows, NO_KEY, np.int64),
        # Facets and vectors are looked up when the events are folded; until then all events share one row.
        facet_key=np.broadcast_to(np.zeros(len(config.facets), np.int64), (rows, len(config.facets))),
        text_vector=np.broadcast_to(np.zeros(config.text_dims), (rows, config.text_dims)),
    )


def _requests(table: pa.Table, config: FeatureConfig) -> LabelledRequests:
    return LabelledRequests(
        request_id=_strings(group_requests(table)),
        user=_strings(table["user_id"]),
        scenario=_strings(table["scenario_id"]),
        item=_strings(table["item_id"]),
        label=table["label"].to_numpy().astype(np.int64),
        split=_strings(table["split"]),
        time_s=_seconds(table["time"]),
        context=context_columns(table, config),
        sampling=_strings(table["sampling"]) if "sampling" in table.column_names else None,
    )


def _item_states(table: pa.Table) -> Iterator[tuple[str, ItemState]]:
    for batch in table.to_batches():
        for row in batch.to_pylist():
            yield row["item_id"], item_state(row)


def item_state(row: dict[str, object]) -> ItemState:
    """The state that a row of the items table describes."""
    price = row["price"]
    return ItemState(
        time_s=row["time"].timestamp(),  # type: ignore[attr-defined]
        title=str(row["title"] or ""),
        description=str(row["description"] or ""),
        categories=row["categories"] or (),  # type: ignore[arg-type]
        brand=str(row["brand"] or ""),
        price=-1.0 if price is None else float(price),  # type: ignore[arg-type]
        attributes=dict(row["attributes"] or ()),  # type: ignore[call-overload]
        category_attributes=dict(row.get("category_attributes") or ()),  # type: ignore[call-overload]
    )


def _item_scenarios(table: pa.Table, config: FeatureConfig) -> ItemScenarios:
    return ItemScenarios(
        item=_strings(table["item_id"]),
        scenario=_strings(table["scenario_id"]),
        time_s=_seconds(table["time"]),
        attributes=number_columns(table["attributes"], config.numbers_of("item_scenario"), table.num_rows),
    )
