"""Checks for time leaks: labels after their engagement, events before their item.

Pure functions of compact columns; times in milliseconds. Leaks make offline metrics better than live ones.
"""

import numpy as np

from export.datasets.check.columns import NONE, CheckedData, EventColumns, Ints, Mask
from export.datasets.check.report import Finding, Level, level_of_share

NOISE_SHARE = 0.01
"""Shares up to this can be clock noise in logs; larger ones are systematic."""

DAILY_SHARE = 0.2
"""Positives, beyond the share of negatives, with an engagement on the day before alone: rows stamped by a daily job."""

DAY_MS = 86_400_000


def check_late_labels(data: CheckedData, window_ms: int) -> Finding:
    """Find positives whose engagement is earlier than the row."""
    events = data.events
    positive = events.label == 1
    before, after = _nearest(events, positive)
    late = (after == NONE) & (before > 0) & (before <= window_ms)
    share = late.mean() if len(late) else 0.0
    daily = _only_before(before, after) - _only_before(*_nearest(events, events.label == 0))
    meaning = (
        "These positives are later than the engagement that decides them, so their features contain the label and "
        "offline metrics are too good: use the time of the impression or the request for labelled rows."
    )
    good = "No positive is later than the engagement that decides it."
    level = level_of_share(share, 0, 0, NOISE_SHARE)
    if daily > DAILY_SHARE and level == "ok":
        level = "warning"
    return Finding(
        "positives after their engagement",
        level,
        meaning if level != "ok" else good,
        {
            "positives": len(late),
            "late": int(late.sum()),
            "share": round(float(share), 4),
            "on the day before, more than negatives": f"{max(daily, 0.0):.1%}",
        },
    )


def _only_before(before: Ints, after: Ints) -> float:
    """Share of rows with an engagement within the day before, and none later."""
    return float(((after == NONE) & (before > 0) & (before <= DAY_MS)).mean()) if len(before) else 0.0


def check_missing_engagements(data: CheckedData) -> Finding:
    """Find positives whose user never acts on the item: what the label says is not in the history."""
    _, after = _nearest(data.events, data.events.label == 1)
    missing = after == NONE
    share = float(missing.mean()) if len(missing) else 0.0
    return Finding(
        "positives without an action",
        level_of_share(share, 0.05, 0.5),
        "The user has no action on the item at or after these rows, so what the label says never becomes history: add "
        "each engagement as an event (click, purchase, rating) beside the labelled row."
        if share > 0.05
        else "Positives are followed by the action that the label says.",
        {"positives": len(missing), "without action": int(missing.sum()), "share": round(share, 4)},
    )


def check_simultaneous_labels(data: CheckedData) -> Finding:
    """Find positives with the same time as their engagement."""
    events = data.events
    _, after = _nearest(events, events.label == 1)
    same = after == 0
    meaning = (
        "Features include only events strictly before a row's time, so these do not leak; but if times are rounded, "
        "the order within one time is unknown: log finer times if possible."
    )
    good = "No positive has the same time as its engagement."
    level: Level = "note" if same.any() else "ok"
    numbers = {"positives": len(same), "same time": int(same.sum())}
    return Finding("positives at the time of their engagement", level, meaning if same.any() else good, numbers)


def _nearest(events: EventColumns, rows: Mask) -> tuple[Ints, Ints]:
    """Milliseconds since the user's last action on the item, and until the next at or after the row; or NONE."""
    at = np.flatnonzero(rows)
    actions = np.flatnonzero(events.actions)
    both = np.concatenate([actions, at])
    pair = np.unique(events.user[both] * (events.item.max(initial=0) + 1) + events.item[both], return_inverse=True)[1]
    span = int(np.ptp(events.time)) + 1
    key = pair.reshape(-1) * span + (events.time[both] - events.time.min())
    keys, wanted = np.sort(key[: len(actions)]), key[len(actions) :]
    following = np.searchsorted(keys, wanted)
    padded = np.concatenate([[np.iinfo(np.int64).min], keys, [np.iinfo(np.int64).max]])
    earlier, later = padded[following], padded[following + 1]
    own = wanted // span
    before = np.where(earlier // span == own, wanted - np.maximum(earlier, 0), NONE)
    after = np.where(later // span == own, np.minimum(later, np.iinfo(np.int64).max - 1) - wanted, NONE)
    return before, after


def check_early_events(data: CheckedData) -> Finding:
    """Find events and labelled rows before their item's first version."""
    events, items = data.events, data.items
    created = np.full(items.items, np.iinfo(np.int64).max)
    np.minimum.at(created, items.item[items.own], items.time[items.own])
    used = events.item != NONE
    early = np.zeros(len(used), bool)
    early[used] = events.time[used] < created[events.item[used]]
    labelled = int((early & events.labelled).sum())
    share = early.sum() / max(int(used.sum()), 1)
    meaning = (
        "At these times the item is unknown: its text, categories and price are missing from the row and from the "
        "user's history; set the items' time to when they could first be shown, or omit it."
    )
    return Finding(
        "events before their item",
        level_of_share(share, 0, NOISE_SHARE),
        meaning if early.any() else "Every item exists before its first event.",
        {"events": int(early.sum()), "labelled": labelled, "share": round(float(share), 4)},
    )


def check_future_times(data: CheckedData, now_ms: int) -> list[Finding]:
    """Find times after `now_ms`, and versions of items or scenarios after the last event."""
    events, items = data.events, data.items
    versions = np.concatenate([items.time, data.scenario_time])
    ahead = int((events.time > now_ms).sum()) + int((versions > now_ms).sum())
    unused = int((versions > events.time.max(initial=0)).sum())
    return [
        Finding(
            "times in the future",
            "error" if ahead else "ok",
            "Events cannot be in the future: check unit and time zone of the times."
            if ahead
            else "No time is in the future.",
            {"rows": ahead},
        ),
        Finding(
            "updates after the last event",
            "note" if unused else "ok",
            "These versions apply to no row of this history, so they are not used in training."
            if unused
            else "Every version of an item or scenario begins before the last event.",
            {"versions": unused},
        ),
    ]
