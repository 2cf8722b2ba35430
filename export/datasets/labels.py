"""Derives labels for data without labels: from impressions, ratings, or engagements with sampled negatives.

Knows the settings' `[dataset]` section. Point in time: a row is strictly earlier than the user's first action on the
item, or at the impression, so that its features do not contain its label. Behaviour events stay unchanged.
"""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from export.datasets.episodes import Episodes
from export.datasets.errors import DatasetError
from export.datasets.negatives import NONE, EngagementIndex, Ints, ItemPool, draw_negatives
from export.datasets.splits import assign_splits
from export.datasets.tables import EVENTS, Dataset, from_columns
from services.features.event_types import ENGAGEMENT_TYPES
from services.features.ids import SEPARATOR
from services.settings.training import DatasetSettings

Mask = npt.NDArray[np.bool_]
DAY_MS = 86_400_000


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


def make_labels(dataset: Dataset, settings: DatasetSettings) -> Dataset:
    """The data set with labels and splits according to `settings`; it must be valid and without labels.

    Raises DatasetError naming the setting that does not fit the data.
    """
    events = _encode_events(dataset, settings)
    if not events.positive.any():
        raise DatasetError(f"dataset.label_events: no event of {', '.join(settings.label_events)} is positive")
    warnings = list(dataset.warnings)
    if settings.negatives == "shown" and pc.any(pc.equal(events.table["type"], "impression")).as_py():
        table = _label_impressions(events, settings, warnings)
    else:
        if settings.negatives == "shown" and settings.label_events != ("rating",):
            raise DatasetError(
                'dataset.negatives: "shown" needs impressions, and there are none; use "sampled", or ratings alone'
            )
        table = _add_candidates(events, _creation_times(dataset, events.items), settings, warnings)
    return replace(dataset, events=assign_splits(table, settings, warnings), warnings=tuple(warnings))


def _encode_events(dataset: Dataset, settings: DatasetSettings) -> EncodedEvents:
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


def _creation_times(dataset: Dataset, items: pa.Array) -> Ints:
    """Start of each item's first version, milliseconds."""
    own = dataset.items.filter(dataset.items["scenario_id"].is_null())
    created = np.full(len(items), np.iinfo(np.int64).max)
    np.minimum.at(created, pc.index_in(own["item_id"], items).to_numpy(), own["time"].cast(pa.int64()).to_numpy())
    return created


def _label_impressions(events: EncodedEvents, settings: DatasetSettings, warnings: list[str]) -> pa.Table:
    """Label impressions: 1 if an engagement follows within the window, credited to the latest impression."""
    window = round(settings.label_window_s * 1000)
    impression = pc.equal(events.table["type"], "impression").to_numpy()
    shown, engaged = np.flatnonzero(impression), np.flatnonzero(events.positive)
    both = np.concatenate([shown, engaged])
    triple = (events.user * (events.scenario.max() + 1) + events.scenario) * len(events.items) + events.item
    rank = np.unique(triple[both], return_inverse=True)[1].reshape(-1)
    key = rank * (np.ptp(events.time) + window + 1) + (events.time[both] - events.time.min())
    order = np.argsort(key[: len(shown)], kind="stable")
    keys = key[: len(shown)][order]
    latest = np.searchsorted(keys, key[len(shown) :], side="right") - 1
    credited = (latest >= 0) & (key[len(shown) :] - keys[latest] <= window)
    label = np.zeros(len(events.time), np.int8)
    label[shown[order[latest[credited]]]] = 1
    decided = impression & (events.time <= events.time.max() - window)
    if not decided.any():
        raise DatasetError(
            f"dataset.label_window_s: all {len(shown)} impressions are in the last {settings.label_window_s:g} s of "
            "the data, so none has a complete window; use a shorter one"
        )
    _warn_labelled(label[decided], "impressions", warnings)
    _warn_unlabelled(int(impression.sum() - decided.sum()), int((~credited).sum()), warnings)
    table = _set(events.table, "label", pa.array(label, mask=~decided))
    grouped = pc.if_else(pa.array(decided), pc.coalesce(table["request_id"], _request_ids(table)), table["request_id"])
    return _set(table, "request_id", grouped)


def _request_ids(table: pa.Table) -> pa.ChunkedArray:
    """Request ids for impressions without one: same user, scenario and time."""
    time = table["time"].cast(pa.int64()).cast(pa.string())
    return pc.binary_join_element_wise("shown", table["user_id"], table["scenario_id"], time, SEPARATOR)


def _set(table: pa.Table, column: str, values: pa.Array | pa.ChunkedArray) -> pa.Table:
    return table.set_column(table.schema.get_field_index(column), table.schema.field(column), values)


def _warn_labelled(label: npt.NDArray[np.int8], rows: str, warnings: list[str]) -> None:
    warnings.append(
        f"no event has a label: dataset.label_events labelled {len(label)} {rows}, {label.mean():.1%} positive"
    )


def _warn_unlabelled(undecided: int, uncredited: int, warnings: list[str]) -> None:
    if undecided:
        warnings.append(f"{undecided} impressions in the last dataset.label_window_s of the data have no label")
    if uncredited:
        warnings.append(
            f"{uncredited} engagements have no impression within dataset.label_window_s before them: no label"
        )


def _add_candidates(events: EncodedEvents, created: Ints, settings: DatasetSettings, warnings: list[str]) -> pa.Table:
    """The events, a candidate per labelled episode, and sampled negatives for the positives."""
    window = round(settings.label_window_s * 1000)
    actions = np.flatnonzero(events.action)
    episodes = Episodes.find(events.user, events.item, events.time, actions, window)
    first, chosen, label = episodes.decisions(events.wanted, events.positive)
    time_ms = events.time[first] - 1
    known = created[events.item[chosen]] <= time_ms
    if not known.all():
        warnings.append(f"{(~known).sum()} labelled rows are dropped: their item's first version is later")
    chosen, label, time_ms = chosen[known], label[known], time_ms[known]
    table = _candidate_rows(events, chosen, time_ms, label, None, settings)
    if settings.negatives == "sampled":
        table = pa.concat_tables(
            [table, _sample_negatives(events, created, chosen[label == 1], time_ms[label == 1], settings, warnings)]
        )
    # Shuffled: otherwise positives would come first, and ties in a ranking are broken by order.
    shuffled = table.take(pa.array(np.random.default_rng(settings.seed).permutation(len(table))))
    _warn_labelled(shuffled["label"].to_numpy(), "candidates", warnings)
    return pa.concat_tables([events.table, shuffled])


def _sample_negatives(
    events: EncodedEvents, created: Ints, chosen: Ints, time_ms: Ints, settings: DatasetSettings, warnings: list[str]
) -> pa.Table:
    """Negative candidates with the positives' scenarios and times."""
    user, item, time = (values[events.action] for values in (events.user, events.item, events.time))
    engaged = EngagementIndex(user, item, time, len(events.items), round(settings.label_window_s * 1000))
    popular = settings.negative_sampling == "popularity"
    pool = ItemPool.by_popularity(created, item, time) if popular else ItemPool.uniform(created)
    per_positive = settings.negatives_per_positive
    drawn = draw_negatives(
        events.user[chosen], events.item[chosen], time_ms, per_positive, pool, engaged, settings.seed
    )
    row, slot = np.nonzero(drawn != NONE)
    if len(row) < drawn.size:
        warnings.append(f"{drawn.size - len(row)} of {drawn.size} negatives could not be drawn: too few other items")
    return _candidate_rows(
        events, chosen[row], time_ms[row], np.zeros(len(row), np.int8), (drawn[row, slot], slot + 1), settings
    )


def _candidate_rows(
    events: EncodedEvents,
    at: Ints,
    time_ms: Ints,
    label: npt.NDArray[np.int8],
    other: tuple[Ints, Ints] | None,
    settings: DatasetSettings,
) -> pa.Table:
    """Candidates for the users and scenarios of the events `at`; `other` are drawn items with their slots."""
    own = events.table.select(["event_id", "user_id", "scenario_id", "item_id"]).take(pa.array(at))
    slot = np.zeros(len(at), np.int64) if other is None else other[1]
    if settings.negatives == "sampled":
        request = pc.binary_join_element_wise("sampled", own["event_id"], "/")
    else:
        day = pa.array(time_ms // DAY_MS).cast(pa.string())
        request = pc.binary_join_element_wise("day", own["user_id"], own["scenario_id"], day, SEPARATOR)
    columns = {
        "event_id": pc.binary_join_element_wise("label", own["event_id"], pa.array(slot).cast(pa.string()), "/"),
        "user_id": own["user_id"],
        "scenario_id": own["scenario_id"],
        "item_id": own["item_id"] if other is None else events.items.take(pa.array(other[0])),
        "type": pa.repeat(pa.scalar("candidate"), len(at)),
        "time": pa.array(time_ms).cast(EVENTS.column("time").type),
        "label": pa.array(label),
        "request_id": request,
    }
    return from_columns(EVENTS, columns, len(at))
