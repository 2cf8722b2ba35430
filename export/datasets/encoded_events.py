"""Events with ids as codes: what labels are made from, in numpy.

Knows which event types make labels according to the settings; makes none.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from export.datasets.negatives import NONE, Ints
from export.datasets.tables import Dataset
from services.features.event_types import ENGAGEMENT_TYPES
from services.settings.training import DatasetSettings

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class EncodedEvents:
    """Events with ids as codes; an item's code is its index in the items table's distinct ids, NONE for a query."""

    table: pa.Table
    items: pa.Array
    user: Ints
    scenario: Ints
    item: Ints
    time: Ints
    action: Mask
    wanted: Mask
    positive: Mask


def encode_events(dataset: Dataset, settings: DatasetSettings) -> EncodedEvents:
    """The events of a valid data set, and which of them make labels."""
    events = dataset.events
    items = pc.unique(dataset.items["item_id"])
    wanted = pc.is_in(events["type"], pa.array(settings.label_events, pa.string())).to_numpy()
    low = pc.equal(events["type"], "rating").to_numpy().copy()
    if settings.rating_threshold is not None:
        low &= ~(pc.fill_null(events["value"], float("-inf")).to_numpy() >= settings.rating_threshold)
    return EncodedEvents(
        events,
        items,
        _codes(events["user_id"]),
        _codes(events["scenario_id"]),
        pc.fill_null(pc.index_in(events["item_id"], items), NONE).to_numpy().astype(np.int64),
        np.asarray(events["time"].cast(pa.int64()).to_numpy()),
        np.asarray(pc.is_in(events["type"], pa.array(ENGAGEMENT_TYPES)).to_numpy()),
        np.asarray(wanted),
        np.asarray(wanted & ~low),
    )


def _codes(column: pa.ChunkedArray) -> Ints:
    indices = column.combine_chunks().dictionary_encode().indices
    return np.asarray(indices.to_numpy(zero_copy_only=False), dtype=np.int64)


def creation_times(dataset: Dataset, items: pa.Array) -> Ints:
    """Start of each item's first version, milliseconds."""
    own = dataset.items.filter(dataset.items["scenario_id"].is_null())
    created = np.full(len(items), np.iinfo(np.int64).max)
    np.minimum.at(created, pc.index_in(own["item_id"], items).to_numpy(), own["time"].cast(pa.int64()).to_numpy())
    return created
