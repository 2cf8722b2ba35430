"""Assigns labelled rows to train, validation and test, for data without splits.

Knows the two methods of the settings, by time and by user. A request is never split: its first row decides.
"""

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from export.datasets.tables import SPLITS
from services.features.hashing import keys64
from services.settings.training import DatasetSettings

Ints = npt.NDArray[np.int64]


def assign_splits(events: pa.Table, settings: DatasetSettings, warnings: list[str]) -> pa.Table:
    """The events with column `split` set where there is a label; the method is added to `warnings`.

    Users and times must not be null.
    """
    labelled = events["label"].is_valid().to_numpy()
    number = _by_user(events, settings) if settings.split == "user" else _by_time(events, labelled, settings)
    split = pc.if_else(pa.array(labelled), pa.array(SPLITS).take(pa.array(number)), pa.scalar(None, pa.string()))
    parts = pc.unique(split.drop_null()).to_pylist()
    warnings.append(
        f"no event has a split: labelled rows are split {_describe_split(settings)} into {', '.join(parts)}"
    )
    at = events.schema.get_field_index("split")
    return events.set_column(at, events.schema.field("split"), split)


def _describe_split(settings: DatasetSettings) -> str:
    if settings.validation_from and settings.test_from:
        return f"at {settings.validation_from.isoformat()} and {settings.test_from.isoformat()}"
    train, validation = round(settings.train_share * 100), round(settings.validation_share * 100)
    return f"{train}/{validation}/{100 - train - validation} by {settings.split}"


def _by_time(events: pa.Table, labelled: npt.NDArray[np.bool_], settings: DatasetSettings) -> Ints:
    """0, 1 or 2 per row: by the configured times, else by time quantiles of the labelled rows."""
    times = _request_times(events)
    if settings.validation_from and settings.test_from:
        bounds_s = [settings.validation_from.timestamp(), settings.test_from.timestamp()]
        return np.searchsorted(np.array(bounds_s) * 1000.0, times, side="right")
    shares = [settings.train_share, settings.train_share + settings.validation_share]
    return np.searchsorted(np.quantile(times[labelled], shares, method="lower"), times)


def _request_times(events: pa.Table) -> Ints:
    """Time of each row's request, milliseconds: that of its first row; rows without a request use their own."""
    times = np.asarray(events["time"].cast(pa.int64()).to_numpy())
    known = pc.index_in(events["request_id"], pc.unique(events["request_id"].drop_null()))
    request = pc.fill_null(known, -1).to_numpy()
    first = np.full(int(request.max(initial=-1)) + 2, np.iinfo(np.int64).max)
    np.minimum.at(first, request + 1, times)
    return np.where(request >= 0, first[request + 1], times)


def _by_user(events: pa.Table, settings: DatasetSettings) -> Ints:
    """0, 1 or 2 per row by a seeded hash of the user."""
    users = events["user_id"].combine_chunks().dictionary_encode()
    keys = keys64(f"{settings.seed}\x1f{user}" for user in users.dictionary.to_pylist())
    share = keys.astype(np.uint64) / 2.0**64
    number = np.searchsorted([settings.train_share, settings.train_share + settings.validation_share], share, "right")
    return np.asarray(number[users.indices.to_numpy(zero_copy_only=False)])
