"""Checks of splits: their order in time, and requests divided over two.

Pure functions of compact columns; times in milliseconds. The splits that the settings make draw no warning.
"""

import numpy as np

from export.datasets.check.columns import CheckedData, EventColumns, Ints, Mask
from export.datasets.check.lists import single_auc
from export.datasets.check.report import Finding, level_of_share
from export.datasets.tables import SPLITS

NOISE_SHARE = 0.01
"""Shares up to this can be clock noise in logs; larger ones are systematic."""

LATER_TRAINING = 0.6
"""A share of pairs of a training and a test row, above which training rows are the later ones."""

NAME = "order of the splits"


def check_split_order(data: CheckedData) -> Finding:
    """Find training rows later than validation or test rows, unless split by user, each user's time, or chance."""
    events = data.events
    time = _request_times(events)
    rows = [events.in_split(split) for split in SPLITS]
    first = [int(time[part].min()) if part.any() else None for part in rows]
    later = [_count_later(time[rows[0]], first[1:]), _count_later(time[rows[1]], first[2:])]
    share = sum(later) / max(int(rows[0].sum() + rows[1].sum()), 1)
    numbers = {"train rows later": later[0], "validation rows later": later[1], "share": round(share, 4)}
    if not sum(later):
        text = "Training rows are earlier than validation rows, and those earlier than test rows."
        return Finding(NAME, "ok", text, numbers)
    pairs = _share_of_later(time, *rows[::2])
    if pairs <= LATER_TRAINING:
        if _share_no_user(events, rows):
            return Finding(NAME, "ok", "Splits share no user, so their order in time does not matter.", numbers)
        if _in_order_per_user(events, time, rows):
            text = (
                "Each user's training rows are earlier than their validation and test rows; rows of other users may be "
                "later, so figures are for comparison."
            )
            return Finding(NAME, "ok", text, numbers)
        if pairs >= 1 - LATER_TRAINING:
            text = (
                "Rows are split at random: features see no future, but the model is trained on rows later than its "
                "tests. Right to compare with figures of others; for what to expect live, split by time."
            )
            return Finding(NAME, "note", text, numbers)
    text = (
        "The model would be trained on data later than its test, which is impossible live: split by time "
        "(dataset.split, or column split), or by user."
    )
    return Finding(NAME, level_of_share(share, 0, 0, NOISE_SHARE), text, numbers)


def _request_times(events: EventColumns) -> Ints:
    """Time of each row; of the rows of a named request that of the first."""
    time = events.time.copy()
    _, code = np.unique(events.request[events.named], return_inverse=True)
    code = code.reshape(-1)
    first = np.full(int(code.max(initial=-1)) + 1, np.iinfo(np.int64).max)
    np.minimum.at(first, code, time[events.named])
    time[events.named] = first[code]
    return time


def _count_later(times: Ints, firsts: list[int | None]) -> int:
    known = [first for first in firsts if first is not None]
    return int((times > min(known)).sum()) if known else 0


def _share_of_later(time: Ints, train: Mask, test: Mask) -> float:
    """Share of pairs in which the training row is later than the test row, equal times count half."""
    either = train | test
    return single_auc(train[either], time[either].astype(np.float64))


def _share_no_user(events: EventColumns, rows: list[Mask]) -> bool:
    seen = [np.unique(events.user[part]) for part in rows]
    return sum(len(users) for users in seen) == len(np.unique(np.concatenate(seen)))


def _in_order_per_user(events: EventColumns, time: Ints, rows: list[Mask]) -> bool:
    """Whether no user has a row of a split later than one of the next split."""
    last = np.full(events.users, np.iinfo(np.int64).min)
    for part in rows:
        first = np.full(events.users, np.iinfo(np.int64).max)
        np.minimum.at(first, events.user[part], time[part])
        if (first < last).any():
            return False
        np.maximum.at(last, events.user[part], time[part])
    return True


def check_split_requests(data: CheckedData) -> Finding:
    """Find requests with rows in two splits."""
    events = data.events
    named = events.labelled & events.named
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
