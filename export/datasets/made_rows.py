"""Makes labelled rows from actions: one per decision, and sampled negatives for the positives.

Point in time: a row is strictly earlier than the user's first action of its decision, and an item is drawn only if it
existed before. A row takes from its event what describes the request: user, scenario, context.
"""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from export.datasets.encoded_events import EncodedEvents, Mask
from export.datasets.episodes import Episodes
from export.datasets.negatives import NONE, EngagementIndex, Ints, ItemPool, draw_negatives
from export.datasets.tables import EVENTS, REQUEST_COLUMNS, SAMPLINGS, from_columns
from services.settings.training import DatasetSettings


@dataclass(frozen=True)
class MadeRows:
    """Labelled rows to be made, as columns [M].

    Args:
        source: row of the event that each is made from: it gives user, scenario and what describes the request.
        first: row of the first action of the same decision: it describes the request where `source` does not.
        item: item codes.
        time_ms: milliseconds.
        label: 0 or 1.
        slot: 0 for the event's own item, else the number of the negative.
        sampling: how a negative was drawn, a place in SAMPLINGS; NONE for the event's own item.
    """

    source: Ints
    first: Ints
    item: Ints
    time_ms: Ints
    label: npt.NDArray[np.int8]
    slot: Ints
    sampling: Ints

    def take(self, rows: Ints | Mask) -> "MadeRows":
        """Some of the rows."""
        return MadeRows(*(getattr(self, name)[rows] for name in self.__dataclass_fields__))


def decide(events: EncodedEvents, created: Ints, settings: DatasetSettings, warnings: list[str]) -> MadeRows:
    """A row per labelled episode, and sampled negatives for the positives, shuffled."""
    window = round(settings.label_window_s * 1000)
    actions = np.flatnonzero(events.action)
    episodes = Episodes.find(events.user, events.item, events.time, actions, window)
    first, chosen, label = episodes.decisions(events.wanted, events.positive)
    own = np.zeros(len(first), np.int64)
    made = MadeRows(chosen, first, events.item[chosen], events.time[first] - 1, label, own, own + NONE)
    known = created[made.item] <= made.time_ms
    if not known.all():
        warnings.append(f"{(~known).sum()} labelled rows are dropped: their item's first version is later")
    made = made.take(known)
    if settings.negatives == "sampled":
        negatives = _sample_negatives(events, created, made.take(made.label == 1), settings, warnings)
        made = MadeRows(
            *(np.concatenate([getattr(part, name) for part in (made, negatives)]) for name in made.__dataclass_fields__)
        )
    # Shuffled: otherwise positives would come first, and ties in a ranking are broken by order.
    return made.take(np.random.default_rng(settings.seed).permutation(len(made.label)))


def _sample_negatives(
    events: EncodedEvents, created: Ints, positives: MadeRows, settings: DatasetSettings, warnings: list[str]
) -> MadeRows:
    """Negatives for the positives' requests."""
    user, item, time = (values[events.action] for values in (events.user, events.item, events.time))
    engaged = EngagementIndex(user, item, time, len(events.items), round(settings.label_window_s * 1000))
    pools = {
        "uniform": lambda: ItemPool.uniform(created),
        "popularity": lambda: ItemPool.by_popularity(created, item, time),
    }
    kinds = SAMPLINGS if settings.negative_sampling == "mixed" else (settings.negative_sampling,)
    drawn, pool = draw_negatives(
        events.user[positives.source],
        positives.item,
        positives.time_ms,
        settings.negatives_per_positive,
        [pools[kind]() for kind in kinds],
        engaged,
        settings.seed,
    )
    row, slot = np.nonzero(drawn != NONE)
    if len(row) < drawn.size:
        warnings.append(
            f"{drawn.size - len(row)} of {drawn.size} negatives could not be drawn: too few other items existed before"
        )
    sampling = np.array([SAMPLINGS.index(kind) for kind in kinds])[pool[row, slot]]
    return replace(
        positives.take(row),
        item=drawn[row, slot],
        label=np.zeros(len(row), np.int8),
        slot=slot + 1,
        sampling=sampling,
    )


def event_rows(events: EncodedEvents, made: MadeRows, settings: DatasetSettings) -> pa.Table:
    """The made rows as rows of the events table."""
    source = pa.array(made.source)
    own = events.table.select(["event_id", "user_id", "scenario_id"]).take(source)
    columns = {
        "event_id": pc.binary_join_element_wise("label", own["event_id"], pa.array(made.slot).cast(pa.string()), "/"),
        "user_id": own["user_id"],
        "scenario_id": own["scenario_id"],
        "item_id": events.items.take(pa.array(made.item)),
        "type": pa.repeat(pa.scalar("candidate"), len(made.label)),
        "time": pa.array(made.time_ms).cast(EVENTS.column("time").type),
        "label": pa.array(made.label),
        "sampling": pa.array(SAMPLINGS).take(pa.array(made.sampling, mask=made.sampling == NONE)),
    }
    if settings.negatives == "sampled":
        columns["request_id"] = pc.binary_join_element_wise("sampled", own["event_id"], "/")
    for name in REQUEST_COLUMNS:
        columns[name] = _of_request(events, name, made)
    return from_columns(EVENTS, columns, len(made.label))


def _of_request(events: EncodedEvents, column: str, made: MadeRows) -> pa.ChunkedArray:
    """A column that describes the request: of the event, else of the decision's first action in the same scenario."""
    values = events.table[column].combine_chunks()
    given = values.is_valid().to_numpy(zero_copy_only=False)
    if pa.types.is_map(values.type) or pa.types.is_list(values.type):
        given &= np.diff(values.offsets.to_numpy()) > 0
    elsewhere = events.scenario[made.first] != events.scenario[made.source]
    return values.take(pa.array(np.where(given[made.source] | elsewhere, made.source, made.first)))
