"""Assigns labelled rows to train, validation and test, for data without splits.

Knows the methods of the settings: by time, by user, at random, and by each user's time. A request is never split: its
first row decides. Rows without a request are units of their own.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from export.datasets.errors import DatasetError, Problem
from export.datasets.requests import drop_day_groups
from export.datasets.tables import SPLITS
from services.features.hashing import keys64
from services.settings.training import DatasetSettings

Ints = npt.NDArray[np.int64]

METHODS = {
    "time": "by time",
    "user": "by user",
    "random": "at random",
    "user_time": "by each user's time",
}
"""The methods and their names in messages."""


def assign_splits(events: pa.Table, settings: DatasetSettings, remarks: list[str]) -> pa.Table:
    """The events with column `split` set where there is a label; the method is added to `remarks`.

    Users and times must not be null.
    """
    at = np.flatnonzero(events["label"].is_valid().to_numpy())
    rows = events.select(["user_id", "request_id", "time"]).take(pa.array(at))
    number = split_rows(rows["user_id"], rows["request_id"], rows["time"].cast(pa.int64()).to_numpy(), settings)
    split = np.full(len(events), None, object)
    split[at] = np.array(SPLITS, object)[number]
    parts = [name for place, name in enumerate(SPLITS) if (number == place).any()]
    remarks.append(f"no event has a split: labelled rows are split {describe_split(settings)} into {', '.join(parts)}")
    return set_splits(events, pa.array(split, pa.string()))


def set_splits(events: pa.Table, split: pa.Array | pa.ChunkedArray) -> pa.Table:
    """The events with another column `split`."""
    at = events.schema.get_field_index("split")
    return events.set_column(at, events.schema.field("split"), split)


def describe_split(settings: DatasetSettings) -> str:
    """The method with its times or shares, as in `80/10/10 by time`."""
    if settings.validation_from and settings.test_from:
        return f"at {settings.validation_from.isoformat()} and {settings.test_from.isoformat()}"
    train, validation = round(settings.train_share * 100), round(settings.validation_share * 100)
    return f"{train}/{validation}/{100 - train - validation} {METHODS[settings.split]}"


def split_rows(
    user: pa.ChunkedArray, request: pa.ChunkedArray, time_ms: Ints, settings: DatasetSettings
) -> npt.NDArray[np.int64]:
    """The place in SPLITS of each labelled row [R].

    Args:
        user: [R] user ids.
        request: [R] request ids; null, or a group by day, for rows without a request.
        time_ms: [R] milliseconds.
        settings: the method, its shares or times, and the seed.
    """
    if not len(time_ms):
        return np.zeros(0, np.int64)
    unit, first = _units(drop_day_groups(request), time_ms)
    methods: dict[str, Callable[[], Ints]] = {
        "time": lambda: _by_time(first[unit], settings),
        "user": lambda: _by_user(user, settings),
        "random": lambda: _at_random(unit, settings),
        "user_time": lambda: _by_user_time(user, unit, first, settings),
    }
    return np.asarray(methods[settings.split]())


def _units(request: pa.ChunkedArray, time_ms: Ints) -> tuple[Ints, Ints]:
    """Code of each row's unit [R], a request or a row without one, and the unit's first time [U]."""
    unit = pc.fill_null(pc.index_in(request, pc.unique(request.drop_null())), -1).to_numpy().astype(np.int64)
    alone = unit < 0
    unit[alone] = unit.max() + 1 + np.arange(alone.sum())
    first = np.full(int(unit.max()) + 1, np.iinfo(np.int64).max)
    np.minimum.at(first, unit, time_ms)
    return unit, first


def _by_time(times: Ints, settings: DatasetSettings) -> Ints:
    """By the configured times, else by time quantiles of the rows."""
    if settings.validation_from and settings.test_from:
        bounds_s = [settings.validation_from.timestamp(), settings.test_from.timestamp()]
        return np.searchsorted(np.array(bounds_s) * 1000.0, times, side="right")
    return np.searchsorted(np.quantile(times, _bounds(settings), method="lower"), times)


def _bounds(settings: DatasetSettings) -> list[float]:
    return [settings.train_share, settings.train_share + settings.validation_share]


def _by_user(user: pa.ChunkedArray, settings: DatasetSettings) -> Ints:
    """By a seeded hash of the user."""
    users = user.combine_chunks().dictionary_encode()
    keys = keys64(f"{settings.seed}\x1f{name}" for name in users.dictionary.to_pylist())
    number = np.searchsorted(_bounds(settings), keys.astype(np.uint64) / 2.0**64, "right")
    return np.asarray(number[users.indices.to_numpy(zero_copy_only=False)])


def _at_random(unit: Ints, settings: DatasetSettings) -> Ints:
    """Shuffled units fill the shares one after the other, so that the shares of rows are exact."""
    rows = np.bincount(unit)
    order = np.random.default_rng(settings.seed).permutation(len(rows))
    begin = np.cumsum(rows[order]) - rows[order]
    number = np.empty(len(rows), np.int64)
    number[order] = np.searchsorted(np.round(np.array(_bounds(settings)) * len(unit)), begin, side="right")
    return np.asarray(number[unit])


def _by_user_time(user: pa.ChunkedArray, unit: Ints, first: Ints, settings: DatasetSettings) -> Ints:
    """Each user's last units are tested on, the ones before validate.

    Of at least two units one is tested on, of at least three one validates, too.
    """
    code = user.combine_chunks().dictionary_encode().indices.to_numpy(zero_copy_only=False).astype(np.int64)
    owner = np.zeros(len(first), np.int64)
    owner[unit] = code
    order = np.lexsort((np.arange(len(first)), first, owner))
    count = np.bincount(owner)
    rank = np.empty(len(first), np.int64)
    rank[order] = np.arange(len(first)) - (np.cumsum(count) - count)[owner[order]]
    validation = np.floor(settings.validation_share * count + 1e-9).astype(np.int64)
    test = np.floor((1 - sum((settings.train_share, settings.validation_share))) * count + 1e-9).astype(np.int64)
    test += (test == 0) & (count - validation - test > 1)
    validation += (validation == 0) & (count - validation - test > 1)
    from_validation, from_test = count - validation - test, count - test
    number = (rank >= from_validation[owner]).astype(np.int64) + (rank >= from_test[owner])
    return np.asarray(number[unit])


def take_given_splits(events: pa.Table, place: Callable[[int], str]) -> tuple[pa.Table, pa.ChunkedArray | None]:
    """The events without splits, and the splits that they had; for events whose labels are still to be made.

    Raises DatasetError for values that are no split; `place` gives the location of a row.
    """
    given = events["split"]
    if given.null_count == len(given):
        return events, None
    unknown = pc.and_(given.is_valid(), pc.invert(pc.is_in(given, value_set=pa.array(SPLITS))))
    problems = [
        Problem(place(int(row)), "split", f"is none of {', '.join(SPLITS)}")
        for row in np.flatnonzero(pc.fill_null(unknown, False).to_numpy())
    ]
    if problems:
        raise DatasetError(f"{len(problems)} problem{'s' if len(problems) > 1 else ''} in the data set", problems)
    return set_splits(events, pa.nulls(len(events), pa.string())), given


def keep_given_splits(events: pa.Table, given: pa.ChunkedArray) -> pa.Table:
    """The events with the splits `given` [E] where there is a label; DatasetError if one of those has none."""
    labelled = events["label"].is_valid()
    lacking = pc.sum(pc.and_(labelled, given.is_null())).as_py()
    if lacking:
        raise DatasetError(
            f"column split: {lacking} of {pc.sum(labelled).as_py()} labelled rows get none; set it on every event that "
            "makes a labelled row (with impressions: on these), or on no event, and it is made by dataset.split"
        )
    return set_splits(events, pc.if_else(labelled, given, pa.scalar(None, pa.string())))
