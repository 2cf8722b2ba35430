"""Checks of time: rows that know the future, splits out of order, items that are younger than their events.

Pure functions of compact columns; times in milliseconds. What leaks makes offline metrics better than live ones.
"""

import numpy as np

from export.datasets.check.columns import NONE, CheckedData, EventColumns, Ints, Mask
from export.datasets.check.findings import Finding, Level, graded
from export.datasets.tables import SPLITS

FEW = 0.01
"""Shares up to this are noise of logging clocks; more is how the data was made."""


def late_labels(data: CheckedData, window_ms: int) -> Finding:
    """Positives whose own engagement is already behind them when the row is made."""
    events = data.events
    positive = events.label == 1
    before, after = _nearest(events, positive)
    late = (after == NONE) & (before > 0) & (before <= window_ms)
    share = late.mean() if len(late) else 0.0
    meaning = (
        "These positives stand after the engagement that decided them, so their features hold the answer and offline "
        "metrics are too good: give labelled rows the time of the impression or the request."
    )
    good = "No positive stands after the engagement that decides it."
    return Finding(
        "positives after their engagement",
        graded(share, 0, 0, FEW),
        meaning if late.any() else good,
        {"positives": len(late), "late": int(late.sum()), "share": round(float(share), 4)},
    )


def simultaneous_labels(data: CheckedData) -> Finding:
    """Positives at the very instant of their engagement."""
    events = data.events
    _, after = _nearest(events, events.label == 1)
    same = after == 0
    meaning = (
        "Features are taken strictly before a row's time, so these do not leak; but if times are rounded, what came "
        "first within an instant is unknown: log finer times if you can."
    )
    good = "No positive has the same time as its engagement."
    level: Level = "note" if same.any() else "ok"
    numbers = {"positives": len(same), "same instant": int(same.sum())}
    return Finding("positives at the instant of their engagement", level, meaning if same.any() else good, numbers)


def _nearest(events: EventColumns, rows: Mask) -> tuple[Ints, Ints]:
    """Milliseconds from the user's last touch of the item before each row, and to the next at or after; or NONE."""
    at = np.flatnonzero(rows)
    touches = np.flatnonzero(events.touch)
    both = np.concatenate([touches, at])
    pair = np.unique(events.user[both] * (events.item.max(initial=0) + 1) + events.item[both], return_inverse=True)[1]
    span = int(np.ptp(events.time)) + 1
    key = pair.reshape(-1) * span + (events.time[both] - events.time.min())
    keys, wanted = np.sort(key[: len(touches)]), key[len(touches) :]
    following = np.searchsorted(keys, wanted)
    padded = np.concatenate([[np.iinfo(np.int64).min], keys, [np.iinfo(np.int64).max]])
    earlier, later = padded[following], padded[following + 1]
    own = wanted // span
    before = np.where(earlier // span == own, wanted - np.maximum(earlier, 0), NONE)
    after = np.where(later // span == own, np.minimum(later, np.iinfo(np.int64).max - 1) - wanted, NONE)
    return before, after


def young_items(data: CheckedData) -> Finding:
    """Events and labelled rows before their item's first version."""
    events, items = data.events, data.items
    created = np.full(items.items, np.iinfo(np.int64).max)
    np.minimum.at(created, items.item[items.own], items.time[items.own])
    used = events.item != NONE
    early = np.zeros(len(used), bool)
    early[used] = events.time[used] < created[events.item[used]]
    labelled = int((early & events.labelled).sum())
    share = early.sum() / max(int(used.sum()), 1)
    meaning = (
        "At these times the item is unknown: its text, categories and price are missing from the row and from what the "
        "user's history learns; give items the time from which they could be shown, or leave their time out."
    )
    return Finding(
        "events older than their item",
        graded(share, 0, FEW),
        meaning if early.any() else "Every item is described before its first event.",
        {"events": int(early.sum()), "labelled": labelled, "share": round(float(share), 4)},
    )


def future_times(data: CheckedData, now_ms: int) -> list[Finding]:
    """Times after `now_ms`, and versions of items or scenarios after the last event."""
    events, items = data.events, data.items
    versions = np.concatenate([items.time, data.scenario_time])
    ahead = int((events.time > now_ms).sum()) + int((versions > now_ms).sum())
    unused = int((versions > events.time.max(initial=0)).sum())
    return [
        Finding(
            "times in the future",
            "error" if ahead else "ok",
            "Nothing can have happened after today: check unit and time zone of the times."
            if ahead
            else "No time lies in the future.",
            {"rows": ahead},
        ),
        Finding(
            "updates after the last event",
            "note" if unused else "ok",
            "These versions hold for no row of this history, so nothing is trained on them."
            if unused
            else "Every version of an item or scenario begins before the last event.",
            {"versions": unused},
        ),
    ]


def split_order(data: CheckedData) -> Finding:
    """Training rows later than what they are validated on, unless users are split."""
    events = data.events
    rows = [events.labelled & (events.split == number) for number in range(len(SPLITS))]
    first = [int(events.time[r].min()) if r.any() else None for r in rows]
    later = [_later_than(events.time[rows[0]], first[1:]), _later_than(events.time[rows[1]], first[2:])]
    if sum(later) and _share_no_user(events):
        return Finding("order of the splits", "ok", "Splits share no user, so they need not follow each other in time.")
    share = sum(later) / max(int(rows[0].sum() + rows[1].sum()), 1)
    meaning = (
        "The model would be trained on what happened after its test, which it cannot live: split by time "
        "(dataset.split, or column split), or by user."
    )
    return Finding(
        "order of the splits",
        graded(share, 0, 0, FEW),
        meaning if sum(later) else "Training rows are older than validation rows, and those older than test rows.",
        {"train rows later": later[0], "validation rows later": later[1], "share": round(share, 4)},
    )


def _later_than(times: Ints, firsts: list[int | None]) -> int:
    known = [first for first in firsts if first is not None]
    return int((times > min(known)).sum()) if known else 0


def _share_no_user(events: EventColumns) -> bool:
    seen = [np.unique(events.user[events.split == number]) for number in range(len(SPLITS))]
    return sum(len(users) for users in seen) == len(np.unique(np.concatenate(seen)))


def torn_requests(data: CheckedData) -> Finding:
    """Requests with rows in two splits."""
    events = data.events
    named = events.labelled & (events.request != 0)
    requests, code = np.unique(events.request[named], return_inverse=True)
    seen = np.zeros((len(requests), len(SPLITS) + 1), bool)
    seen[code.reshape(-1), events.split[named]] = True
    torn = int((seen.sum(axis=1) > 1).sum())
    return Finding(
        "requests in two splits",
        "warning" if torn else "ok",
        "What was ranked together is trained and tested on at once: give all rows of a request one split."
        if torn
        else "No request is torn apart by the splits.",
        {"requests": len(requests), "torn": torn},
    )
