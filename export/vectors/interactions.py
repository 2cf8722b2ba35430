"""The events from which vectors are learned, as columns in time order: who engaged with what, or thought what of it.

Knows the events table; knows nothing of vectors.
"""

from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from export.datasets.storage import DatasetReader
from services.features.config import FeatureConfig
from services.features.event_types import EVENT_TYPES
from services.features.rows import Floats


@dataclass(frozen=True)
class Interactions:
    """Events in time order.

    Args:
        users: number of users.
        items: ids of the items.
        user: [E] number of the user.
        item: [E] index in `items`.
        kind: [E] number of the type among the configuration's opinion types; 0 where there are none.
        value: [E] value of an opinion, or weight of an engagement.
        time_s: [E] seconds since 1970.
    """

    users: int
    items: list[str]
    user: NDArray[np.int32]
    item: NDArray[np.int32]
    kind: NDArray[np.int8]
    value: Floats
    time_s: Floats

    def __len__(self) -> int:
        return len(self.user)

    def first(self, count: int) -> "Interactions":
        """The first ones."""
        columns = {name: getattr(self, name)[:count] for name in ("user", "item", "kind", "value", "time_s")}
        return replace(self, **columns)


def read_interactions(reader: DatasetReader, config: FeatureConfig) -> Interactions:
    """Read the opinions of a data set or, where no type of event has any, the engagement."""
    columns = ("user_id", "item_id", "type", "time", "value")
    kept = config.opinion_names or tuple(name for name in EVENT_TYPES if config.engagement.get(name))
    numbers = pa.array([kept.index(name) if name in kept else -1 for name in EVENT_TYPES], pa.int8())
    weights = np.array([config.engagement.get(name, 0.0) for name in kept])
    parts = []
    for batch in reader.batches("events", columns):
        table = pa.Table.from_batches([batch])
        kind = numbers.take(pc.index_in(table["type"].combine_chunks(), pa.array(EVENT_TYPES)))
        chosen = pc.and_(pc.greater_equal(kind, 0), pc.not_equal(table["item_id"].combine_chunks(), ""))
        if config.opinion_names:
            chosen = pc.and_(chosen, pc.is_valid(table["value"].combine_chunks()))
        parts.append(table.append_column("kind", kind).filter(pc.fill_null(chosen, fill_value=False)))
    table = pa.concat_tables(parts) if parts else reader.schema("events").empty_table()
    user, item = (table[name].combine_chunks().dictionary_encode() for name in ("user_id", "item_id"))
    kind = table["kind"].to_numpy() if parts else np.zeros(0, np.int8)
    value = table["value"].to_numpy() if config.opinion_names else weights[kind]
    return Interactions(
        users=len(user.dictionary),
        items=item.dictionary.to_pylist(),
        user=user.indices.to_numpy(),
        item=item.indices.to_numpy(),
        kind=kind if config.opinion_names else np.zeros(len(kind), np.int8),
        value=value.astype(np.float64),
        time_s=pc.cast(table["time"], pa.int64()).to_numpy() / 1000.0,
    )
