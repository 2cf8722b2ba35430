"""Checks of what labelled rows are ranked with: requests, and negatives that did not exist or that nobody knows.

Pure functions of compact columns; times in milliseconds.
"""

import numpy as np

from export.datasets.check.columns import NONE, CheckedData, EventColumns, Floats, Ints
from export.datasets.check.report import Finding, level_of_share
from export.datasets.tables import SPLITS

POPULAR_AUC = 0.75
"""With an AUC above, an item's popularity alone nearly tells positives from negatives."""


def check_requests(events: EventColumns) -> Finding:
    """Find rows without a request, and whether test rows can be compared within lists."""
    unnamed = int((events.labelled & ~events.named).sum())
    groups, code = np.unique(events.request[events.labelled], return_inverse=True)
    code, split = code.reshape(-1), events.split[events.labelled].astype(np.int64)
    lists = code * (len(SPLITS) + 1) + split
    rows = np.bincount(lists, minlength=len(groups) * (len(SPLITS) + 1))
    positives = np.bincount(lists, events.label[events.labelled] == 1, len(rows))
    usable = (positives > 0) & (positives < rows)
    tested = np.arange(len(rows)) % (len(SPLITS) + 1) == SPLITS.index("test")
    of_test, compared = int(rows[tested].sum()), int(usable[tested].sum())
    lost = float(rows[~usable].sum() / max(rows.sum(), 1))
    numbers = {
        "without request": unnamed,
        "requests": int((rows > 0).sum()),
        "of one row": int((rows == 1).sum()),
        "compared in test": compared,
    }
    name = "requests"
    if of_test and not compared:
        text = (
            "NDCG, recall and reciprocal rank will be unknown: no test request has a positive and a negative. Give the "
            "rows that were ranked together one request_id."
        )
        return Finding(name, "warning", text, numbers)
    if unnamed:
        text = (
            "Rows without request_id are compared within a user's day in a scenario; give rows that were ranked "
            "together one request_id to compare them as lists."
        )
        return Finding(name, "note", text, numbers)
    text = "Rows alone in their request, or in one of a single class, do not count for NDCG, recall, reciprocal rank."
    level = level_of_share(lost, 0.5, 0.9)
    return Finding(name, level, "Labelled rows are compared within requests." if level == "ok" else text, numbers)


def check_early_negatives(data: CheckedData) -> Finding:
    """Find negatives whose item has no event yet, where positives have some."""
    events = data.events
    known = np.full(data.items.items, np.iinfo(np.int64).max)
    acted = events.behavior & (events.item != NONE)
    np.minimum.at(known, events.item[acted], events.time[acted])
    rows = np.flatnonzero(events.labelled & (events.item != NONE))
    # A positive may be the item's first event itself, up to which its row was asked for.
    early = known[events.item[rows]] > events.time[rows]
    positive = events.label[rows] == 1
    negatives, positives = int((~positive).sum()), int(positive.sum())
    shares = [float(early[part].mean()) if part.any() else 0.0 for part in (~positive, positive)]
    excess = max(shares[0] - shares[1], 0.0) if acted.any() else 0.0
    return Finding(
        "negatives before any event",
        level_of_share(excess, 0.01, 0.05),
        "These items have no event yet, which alone tells them from positives, and metrics are too good: draw "
        "negatives among items that could be shown then, and let items' times say so (without one, an item begins with "
        "its first event)."
        if excess > 0.01
        else "Negatives have had events about as often as positives.",
        {
            "negatives": negatives,
            "before any event": int(early[~positive].sum()),
            "share": round(shares[0], 4),
            "positives": positives,
            "share of positives": f"{shares[1]:.1%}",
        },
    )


def check_popularity(data: CheckedData) -> Finding:
    """Measure how well an item's number of earlier actions alone tells positives from negatives."""
    events = data.events
    rows = np.flatnonzero(events.labelled & (events.item != NONE))
    area = single_auc(events.label[rows] == 1, _earlier_actions(events, rows).astype(np.float64))
    extreme = area > POPULAR_AUC
    return Finding(
        "popularity of negatives",
        "note" if extreme else "ok",
        "Negatives are much less popular than positives, as if drawn uniformly: popularity alone does well, and "
        'figures are higher than live. dataset.negative_sampling = "mixed" reports them for popular ones, too.'
        if extreme
        else "Negatives are about as popular as positives.",
        {"AUC of popularity": round(area, 4)},
    )


def _earlier_actions(events: EventColumns, rows: Ints) -> Ints:
    """Number of actions with each row's item before its time."""
    acted = events.actions
    first = int(events.time.min())
    span = int(events.time.max()) - first + 1
    keys = np.sort(events.item[acted] * span + (events.time[acted] - first))
    begin, upto = events.item[rows] * span, events.item[rows] * span + (events.time[rows] - first)
    return np.asarray(np.searchsorted(keys, upto) - np.searchsorted(keys, begin))


def single_auc(positive: np.ndarray, value: Floats) -> float:
    """Share of pairs of a positive and a negative that the value orders rightly, ties count half; .5 with one class."""
    count = len(positive)
    ones = int(positive.sum())
    if not ones or ones == count:
        return 0.5
    _, place, size = np.unique(value, return_inverse=True, return_counts=True)
    rank = (np.cumsum(size) - (size - 1) / 2)[place.reshape(-1)]
    return float((rank[positive].sum() - ones * (ones + 1) / 2) / (ones * (count - ones)))
