"""Looks at a data set before anything is trained on it: counts, days, labels, and what is wrong or odd.

Pure: tables in, report out. Reads a batch at a time and keeps about 50 bytes per event. Whether a row breaks a rule
of the format is another matter (validation.py); here every row is well-formed, and the question is what it teaches.
"""

from dataclasses import asdict, dataclass, field
from datetime import date, timedelta
from typing import Any

import numpy as np

from export.datasets.check import coverage as check_coverage
from export.datasets.check import leaks as check_leaks
from export.datasets.check.columns import NONE, CheckedData, EventColumns, TableReader, read_columns
from export.datasets.check.findings import LEVELS, Finding, Level, graded
from export.datasets.tables import ROW_TYPES, SPLITS
from services.features.config import FeatureConfig

DAY_MS = 86_400_000


@dataclass(frozen=True)
class CheckReport:
    """What a check found.

    Args:
        tables: number of events, labelled rows, users, items and scenarios.
        events: events per scenario and type, those that occur.
        first_day: ISO date (UTC) of the first event.
        days: events per day from then on, gaps as 0.
        labels: labelled rows and positives per scenario and split, those that occur.
        findings: in the order of the checks.
    """

    tables: dict[str, int]
    events: dict[str, dict[str, int]]
    first_day: str
    days: list[int]
    labels: list[dict[str, str | int]]
    findings: list[Finding] = field(default_factory=list)

    @property
    def worst(self) -> Level:
        """The highest level among the findings."""
        return max((finding.level for finding in self.findings), key=LEVELS.index, default="ok")

    def as_json(self) -> dict[str, Any]:
        """Plain values, with the worst level and the number of findings per level."""
        levels = {level: sum(f.level == level for f in self.findings) for level in LEVELS}
        return {"worst": self.worst, "levels": levels, **asdict(self)}


def check_data(tables: TableReader, config: FeatureConfig, label_window_s: float, now_ms: int) -> CheckReport:
    """Check a data set.

    Args:
        tables: the three tables.
        config: which types count as engagement, which attributes are declared.
        label_window_s: how close before a positive its own engagement is suspicious, seconds.
        now_ms: the clock, milliseconds since 1970.
    """
    data = read_columns(tables)
    events = data.events
    first_day, days = _days(events)
    findings = [
        *check_coverage.labels(data),
        check_leaks.late_labels(data, round(label_window_s * 1000)),
        check_leaks.simultaneous_labels(data),
        check_leaks.split_order(data),
        check_leaks.torn_requests(data),
        check_leaks.young_items(data),
        *check_leaks.future_times(data, now_ms),
        *duplicates(events),
        gaps(days),
        *check_coverage.scenarios(data),
        *check_coverage.users(data),
        *check_coverage.items(data),
        check_coverage.uncounted_types(data, config.engagement),
        *check_coverage.attributes(data, config.attributes),
        check_coverage.requests(events),
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


def _days(events: EventColumns) -> tuple[date, np.ndarray]:
    """Events per UTC day from the first to the last; labelled candidates are no events."""
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


def gaps(days: np.ndarray) -> Finding:
    """Days without any event, from the first day on."""
    empty = np.concatenate([[0], (days == 0).astype(int), [0]])
    begin, end = np.flatnonzero(np.diff(empty) == 1), np.flatnonzero(np.diff(empty) == -1)
    longest = int((end - begin).max(initial=0))
    return Finding(
        "days without events",
        graded(float((days == 0).mean()), 0, 0.2),
        "Decayed counts fade over a gap as if users had left: check that no file is missing."
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


def duplicates(events: EventColumns) -> list[Finding]:
    """Event ids that occur twice, events that say the same, and labels that contradict each other."""
    ids = len(events.id) - len(np.unique(events.id))
    users = events.user * (int(events.item.max(initial=0)) + 2) + events.item + 1
    order = np.lexsort((events.type, events.scenario, events.time, users))
    known = events.item[order] != NONE

    def same(*columns: np.ndarray) -> np.ndarray:
        equal = known[1:].copy()
        for column in columns:
            equal &= np.diff(column[order]) == 0
        return np.asarray(equal)

    repeated = int(same(users, events.time, events.type).sum())
    contrary = int((same(users, events.time, events.scenario, events.type) & _labels_differ(events, order)).sum())
    share = repeated / max(len(events.id), 1)
    return [
        Finding(
            "repeated event ids",
            "error" if ids else "ok",
            "A consumer takes the second for a repeat and drops it, training does not: give each event its own id."
            if ids
            else "Every event id is its own.",
            {"events": ids},
        ),
        Finding(
            "repeated events",
            graded(share, 0, 0.001),
            "The same user, item, type and time more than once counts more than once: drop the copies if one action "
            "was logged twice."
            if repeated
            else "No user does the same to one item twice in an instant.",
            {"events": repeated, "share": round(share, 4)},
        ),
        Finding(
            "contradicting labels",
            "warning" if contrary else "ok",
            "The same user, item, scenario and time is labelled both 1 and 0: keep one of the rows."
            if contrary
            else "No row is labelled both 1 and 0.",
            {"rows": contrary},
        ),
    ]


def _labels_differ(events: EventColumns, order: np.ndarray) -> np.ndarray:
    label = events.label[order]
    return np.asarray((label[1:] != label[:-1]) & (label[1:] != NONE) & (label[:-1] != NONE))
