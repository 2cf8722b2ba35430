"""Checks a data set before training: counts events, days and labels, and runs all checks.

Pure: tables in, report out. Reads a batch at a time and keeps about 50 bytes per event. The rules of the format are
checked elsewhere (validation.py); here every row is valid, and the checks concern its use for training.
"""

from datetime import date, timedelta

import numpy as np

from export.datasets.check import attributes, coverage, history, leaks, lists, splits
from export.datasets.check.attribute_values import read_attributes
from export.datasets.check.categories import check_categories
from export.datasets.check.columns import NONE, CheckedData, EventColumns, TableReader, read_columns
from export.datasets.check.opinions import check_opinions
from export.datasets.check.report import CheckReport, Finding, level_of_share
from export.datasets.check.texts import check_texts
from export.datasets.tables import ROW_TYPES, SPLITS
from services.features.config import FeatureConfig
from services.text.encoder import EncoderInfo

DAY_MS = 86_400_000


def check_data(
    tables: TableReader,
    config: FeatureConfig,
    label_window_s: float,
    now_ms: int,
    text_encoder: str,
    built_encoder: EncoderInfo | None,
) -> CheckReport:
    """Run all checks on a data set.

    Args:
        tables: the three tables.
        config: the feature configuration, with engagement weights and declared attributes.
        label_window_s: an engagement within this time before its positive is suspicious, seconds.
        now_ms: current time, milliseconds since 1970.
        text_encoder: the setting of this name.
        built_encoder: the text encoder that a replay would use, if there is one.
    """
    data = read_columns(tables, config.category_levels)
    events = data.events
    first_day, days = _days(events)
    findings = [
        *coverage.check_labels(data),
        *(_check_labelled_rows(data, round(label_window_s * 1000)) if events.labelled.any() else ()),
        leaks.check_early_events(data),
        *leaks.check_future_times(data, now_ms),
        *find_duplicates(events),
        find_gaps(days),
        history.check_time_unit(events),
        history.check_equal_times(events),
        history.check_half_lives(events, config),
        history.check_table_sizes(data, config),
        *coverage.check_scenarios(data),
        *coverage.check_users(data),
        *coverage.check_items(data),
        coverage.check_engagement_types(data, config.engagement),
        *check_opinions(tables, config.liked_from),
        *attributes.check_attributes(*read_attributes(tables), config.attributes),
        *check_categories(tables, config, labelled=bool(events.labelled.any())),
        check_texts(tables, text_encoder, built_encoder),
    ]
    return CheckReport(
        {
            "events": len(events.time),
            "labelled": int(events.labelled.sum()),
            "users": events.users,
            "items": len(np.unique(data.items.item[data.items.own])),
            "scenarios": len(data.scenarios),
        },
        _events_by_type(data),
        first_day.isoformat(),
        days.tolist(),
        _labels_by_split(data),
        findings,
    )


def _check_labelled_rows(data: CheckedData, window_ms: int) -> list[Finding]:
    """The checks that say something only of labelled rows."""
    return [
        leaks.check_late_labels(data, window_ms),
        leaks.check_simultaneous_labels(data),
        leaks.check_missing_engagements(data),
        splits.check_split_order(data),
        splits.check_split_requests(data),
        lists.check_early_negatives(data),
        lists.check_popularity(data),
        lists.check_requests(data.events),
    ]


def _days(events: EventColumns) -> tuple[date, np.ndarray]:
    """First day, and events per UTC day until the last; labelled candidates are no events."""
    day = (events.time[events.behavior] if events.behavior.any() else events.time) // DAY_MS
    return date(1970, 1, 1) + timedelta(days=int(day.min())), np.asarray(np.bincount(day - day.min()))


def _events_by_type(data: CheckedData) -> dict[str, dict[str, int]]:
    code = data.events.scenario.astype(np.int64) * len(ROW_TYPES) + data.events.type
    counts = np.bincount(code, minlength=len(data.scenarios) * len(ROW_TYPES)).reshape(-1, len(ROW_TYPES))
    return {
        scenario: {kind: int(n) for kind, n in zip(ROW_TYPES, row, strict=True) if n}
        for scenario, row in zip(data.scenarios, counts, strict=True)
    }


def _labels_by_split(data: CheckedData) -> list[dict[str, str | int]]:
    events = data.events
    code = (events.scenario.astype(np.int64) * len(SPLITS) + events.split)[events.labelled]
    size = len(data.scenarios) * len(SPLITS)
    rows, positives = np.bincount(code, minlength=size), np.bincount(code, events.label[events.labelled], size)
    return [
        {
            "scenario": data.scenarios[place // len(SPLITS)],
            "split": SPLITS[place % len(SPLITS)],
            "rows": int(rows[place]),
            "positives": int(positives[place]),
        }
        for place in np.flatnonzero(rows)
    ]


def find_gaps(days: np.ndarray) -> Finding:
    """Days without events, from the first day on."""
    empty = np.concatenate([[0], (days == 0).astype(int), [0]])
    begin, end = np.flatnonzero(np.diff(empty) == 1), np.flatnonzero(np.diff(empty) == -1)
    longest = int((end - begin).max(initial=0))
    return Finding(
        "days without events",
        level_of_share(float((days == 0).mean()), 0, 0.2),
        "Counts decay over a gap as if users were inactive: check that no file is missing."
        if longest
        else "Every day has events.",
        {
            "days": len(days),
            "empty": int((days == 0).sum()),
            "longest gap": longest,
            "least": int(days.min()),
            "median": int(np.median(days)),
            "most": int(days.max()),
        },
    )


def find_duplicates(events: EventColumns) -> list[Finding]:
    """Event ids that occur twice, equal events, and contradicting labels."""
    ids = len(events.id) - len(np.unique(events.id))
    users = events.user * (int(events.item.max(initial=0)) + 2) + events.item + 1
    order = np.lexsort((events.type, events.scenario, events.time, users))
    known = events.item[order] != NONE

    def same(*columns: np.ndarray) -> np.ndarray:
        equal = known[1:].copy()
        for column in columns:
            equal &= np.diff(column[order]) == 0
        return np.asarray(equal)

    duplicates = int(same(users, events.time, events.type).sum())
    contradicting = int((same(users, events.time, events.scenario, events.type) & _labels_differ(events, order)).sum())
    share = duplicates / max(len(events.id), 1)
    return [
        Finding(
            "repeated event ids",
            "error" if ids else "ok",
            "A consumer drops the second event as a duplicate, training does not: give each event a unique id."
            if ids
            else "Every event id is unique.",
            {"events": ids},
        ),
        Finding(
            "repeated events",
            level_of_share(share, 0, 0.001),
            "Events with the same user, item, type and time all count: remove the copies if one action was logged "
            "twice."
            if duplicates
            else "No two events have the same user, item, type and time.",
            {"events": duplicates, "share": round(share, 4)},
        ),
        Finding(
            "contradicting labels",
            "warning" if contradicting else "ok",
            "The same user, item, scenario and time is labelled both 1 and 0: keep one of the rows."
            if contradicting
            else "No row is labelled both 1 and 0.",
            {"rows": contradicting},
        ),
    ]


def _labels_differ(events: EventColumns, order: np.ndarray) -> np.ndarray:
    label = events.label[order]
    return np.asarray((label[1:] != label[:-1]) & (label[1:] != NONE) & (label[:-1] != NONE))
