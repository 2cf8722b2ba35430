"""Derives labels for data without labels: from impressions, ratings, or engagements with sampled negatives.

Knows the settings' `[dataset]` section. Point in time: a row is strictly earlier than the user's first action on the
item, or at the impression, so that its features do not contain its label. Behaviour events stay unchanged.
"""

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from export.datasets.encoded_events import EncodedEvents, Mask, creation_times, encode_events
from export.datasets.errors import DatasetError
from export.datasets.made_rows import decide, event_rows
from export.datasets.splits import assign_splits, keep_given_splits
from export.datasets.tables import Dataset
from services.features.ids import SEPARATOR
from services.settings.training import DatasetSettings


def make_labels(dataset: Dataset, settings: DatasetSettings, splits: pa.ChunkedArray | None = None) -> Dataset:
    """The data set with labels and splits according to `settings`; it must be valid and without labels.

    `splits` [E] are the data's own: a made row takes that of its event. Raises DatasetError naming the setting that
    does not fit the data.
    """
    events = encode_events(dataset, settings)
    if not events.positive.any():
        raise DatasetError(f"dataset.label_events: no event of {', '.join(settings.label_events)} is positive")
    warnings, remarks = list(dataset.warnings), list(dataset.remarks)
    if settings.negatives == "shown" and pc.any(pc.equal(events.table["type"], "impression")).as_py():
        table = _label_impressions(events, settings, warnings, remarks)
    else:
        if settings.negatives == "shown" and settings.label_events != ("rating",):
            raise DatasetError(
                'dataset.negatives: "shown" needs impressions, and there are none; use "sampled", or ratings alone'
            )
        made = decide(events, creation_times(dataset, events.items), settings, warnings)
        _note_labelled(made.label, "candidates", remarks)
        table = pa.concat_tables([events.table, event_rows(events, made, settings)])
        if splits is not None:
            splits = pa.chunked_array([*splits.chunks, *splits.take(pa.array(made.source)).chunks])
    table = assign_splits(table, settings, remarks) if splits is None else keep_given_splits(table, splits)
    return replace(dataset, events=table, warnings=tuple(warnings), remarks=tuple(remarks))


def _label_impressions(
    events: EncodedEvents, settings: DatasetSettings, warnings: list[str], remarks: list[str]
) -> pa.Table:
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
    _note_labelled(label[decided], "impressions", remarks)
    _warn_unlabelled(int(impression.sum() - decided.sum()), int((~credited).sum()), warnings)
    table = _set(events.table, "label", pa.array(label, mask=~decided))
    return _set(table, "request_id", pc.coalesce(table["request_id"], _request_ids(table, decided)))


def _request_ids(table: pa.Table, decided: Mask) -> pa.Array:
    """Request ids for impressions without one: those of a user, scenario and time, if they are several."""
    time = table["time"].cast(pa.int64()).cast(pa.string())
    moment = pc.binary_join_element_wise("shown", table["user_id"], table["scenario_id"], time, SEPARATOR)
    open_ = decided & table["request_id"].is_null().to_numpy()
    code, rows = np.unique(moment.filter(pa.array(open_)).to_numpy(), return_inverse=True, return_counts=True)[1:]
    open_[open_] = rows[code.reshape(-1)] > 1
    return pc.if_else(pa.array(open_), moment, pa.scalar(None, pa.string()))


def _set(table: pa.Table, column: str, values: pa.Array | pa.ChunkedArray) -> pa.Table:
    return table.set_column(table.schema.get_field_index(column), table.schema.field(column), values)


def _note_labelled(label: npt.NDArray[np.int8], rows: str, remarks: list[str]) -> None:
    remarks.append(
        f"no event has a label: dataset.label_events labelled {len(label)} {rows}, {label.mean():.1%} positive"
    )


def _warn_unlabelled(undecided: int, uncredited: int, warnings: list[str]) -> None:
    if undecided:
        warnings.append(f"{undecided} impressions in the last dataset.label_window_s of the data have no label")
    if uncredited:
        warnings.append(
            f"{uncredited} engagements have no impression within dataset.label_window_s before them: no label"
        )
