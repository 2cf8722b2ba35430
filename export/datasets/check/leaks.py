"""Checks for time leaks: labels after their engagement, splits out of order, events before their item.

Pure functions of compact columns; times in milliseconds. Leaks make offline metrics better than live ones.
"""

import numpy as np

from export.datasets.check.columns import NONE, CheckedData, EventColumns, Ints, Mask
from export.datasets.check.report import Finding, Level, level_of_share
from export.datasets.tables import SPLITS

NOISE_SHARE = 0.01
"""Shares up to this can be clock noise in logs; larger ones are systematic."""


def check_late_labels(data: CheckedData, window_ms: int) -> Finding:
    """Find positives whose engagement is earlier than the row."""
    events = data.events
    positive = events.label == 1
    before, after = _nearest(events, positive)
    late = (after == NONE) & (before > 0) & (before <= window_ms)
    share = late.mean() if len(late) else 0.0
    meaning = (
        "These positives are later than the engagement that decides them, so their features contain the label and "
        "offline metrics are too good: use the time of the impression or the request for labelled rows."
    )
    good = "No positive is later than the engagement that decides it."
    return Finding(
        "positives after their engagement",
        level_of_share(share, 0, 0, NOISE_SHARE),
        meaning if late.any() else good,
        {"positives": len(late), "late": int(late.sum()), "share": round(float(share), 4)},
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


def check_split_order(data: CheckedData) -> Finding:
    """Find training rows later than validation or test rows, unless users are split."""
    events = data.events
    rows = [events.labelled & (events.split == number) for number in range(len(SPLITS))]
    first = [int(events.time[r].min()) if r.any() else None for r in rows]
    later = [_count_later(events.time[rows[0]], first[1:]), _count_later(events.time[rows[1]], first[2:])]
    if sum(later) and _share_no_user(events):
        return Finding("order of the splits", "ok", "Splits share no user, so their order in time does not matter.")
    share = sum(later) / max(int(rows[0].sum() + rows[1].sum()), 1)
    meaning = (
        "The model would be trained on data later than its test, which is impossible live: split by time "
        "(dataset.split, or column split), or by user."
    )
    return Finding(
        "order of the splits",
        level_of_share(share, 0, 0, NOISE_SHARE),
        meaning if sum(later) else "Training rows are earlier than validation rows, and those earlier than test rows.",
        {"train rows later": later[0], "validation rows later": later[1], "share": round(share, 4)},
    )


def _count_later(times: Ints, firsts: list[int | None]) -> int:
    known = [first for first in firsts if first is not None]
    return int((times > min(known)).sum()) if known else 0


def _share_no_user(events: EventColumns) -> bool:
    seen = [np.unique(events.user[events.split == number]) for number in range(len(SPLITS))]
    return sum(len(users) for users in seen) == len(np.unique(np.concatenate(seen)))


def check_split_requests(data: CheckedData) -> Finding:
    """Find requests with rows in two splits."""
    events = data.events
    named = events.labelled & (events.request != 0)
    requests, code = np.unique(events.request[named], return_inverse=True)
    seen = np.zeros((len(requests), len(SPLITS) + 1), bool)
    seen[code.reshape(-1), events.split[named]] = True
    divided = int((seen.sum(axis=1) > 1).sum())
    return Finding(
        "requests in two splits",
        "warning" if divided else "ok",
        "A request is used for training and for testing: assign all its rows to one split."
        if divided
        else "Every request is in one split.",
        {"requests": len(requests), "divided": divided},
    )
