"""Checks of coverage: labels, scenarios, users, items, texts.

Pure functions of compact columns. Each finding has the consequence of a gap for the model.
"""

from collections.abc import Mapping

import numpy as np

from export.datasets.check.columns import NONE, CheckedData
from export.datasets.check.report import Finding, Level, level_of_share
from export.datasets.tables import ROW_TYPES, SPLITS
from services.features.event_types import ENGAGEMENT_TYPES

FEW_POSITIVES = 100
"""With fewer training positives a model learns little more than averages."""

FEW_SHARED = 0.5
"""With a larger share of users in one scenario only there is little to transfer."""

FEW_TESTED = 30
"""With fewer positives or negatives an AUC is uncertain by more than .05."""

RARE, FREQUENT = 0.001, 0.8
"""Shares of positives outside this range are suspicious."""


def check_labels(data: CheckedData) -> list[Finding]:
    """Check that each split has rows of both classes, and enough of them."""
    events = data.events
    rows, positives = np.zeros(len(SPLITS), int), np.zeros(len(SPLITS), int)
    for number in range(len(SPLITS)):
        chosen = events.labelled & (events.split == number)
        rows[number], positives[number] = chosen.sum(), (events.label[chosen] == 1).sum()
    counts = {
        f"{split} {what}": int(n)
        for what, numbers in (("rows", rows), ("positives", positives))
        for split, n in zip(SPLITS, numbers, strict=True)
    }
    if not rows.sum():
        text = "There is nothing to train on: add a column label, or set dataset.label_events to derive labels."
        return [Finding("labels", "error", text, counts)]
    return [_classes(rows, positives, counts), _balance(rows, positives)]


def _classes(rows: np.ndarray, positives: np.ndarray, counts: Mapping[str, int]) -> Finding:
    poor = [split for split, n, p in zip(SPLITS, rows, positives, strict=True) if not 0 < p < n]
    if "train" in poor:
        text = "The training rows lack positives or negatives, so a model cannot learn: see dataset.negatives."
        return Finding("labels", "error", text, counts)
    if poor:
        text = f"Split {' and '.join(poor)} lacks positives or negatives: AUC and the best epoch cannot be computed."
        return Finding("labels", "warning", text, counts)
    if positives[0] < FEW_POSITIVES:
        text = f"Fewer than {FEW_POSITIVES} training positives: enough to try the commands, not to train a model."
        return Finding("labels", "warning", text, counts)
    least = np.minimum(positives, rows - positives)[1:]
    if (least < FEW_TESTED).any():
        text = f"A split has fewer than {FEW_TESTED} positives or negatives: its metrics are little more than chance."
        return Finding("labels", "note", text, counts)
    return Finding("labels", "ok", "Every split has positives and negatives.", counts)


def _balance(rows: np.ndarray, positives: np.ndarray) -> Finding:
    share = float(positives.sum() / rows.sum())
    extreme = not RARE <= share <= FREQUENT
    return Finding(
        "share of positives",
        "warning" if extreme else "ok",
        f"Outside {RARE:.1%} to {FREQUENT:.0%} labels are often wrong: check threshold, window and negatives."
        if extreme
        else "The classes are balanced enough.",
        {"share": round(share, 4)},
    )


def check_scenarios(data: CheckedData) -> list[Finding]:
    """Find scenarios without labels, behaviour or description."""
    events, count = data.events, len(data.scenarios)
    labelled = np.bincount(events.scenario[events.labelled], minlength=count) > 0
    active = np.bincount(events.scenario[events.behavior], minlength=count) > 0
    tested = events.in_split("test")
    kinds = [np.bincount(events.scenario[tested & (events.label == label)], minlength=count) > 0 for label in (0, 1)]
    return [
        _scenario_finding(
            data,
            "scenarios without a test",
            labelled & ~(kinds[0] & kinds[1]),
            "note",
            "Their test rows lack positives or negatives, so models are not compared in them.",
            "Every scenario with labels has test rows of both classes.",
        ),
        _scenario_finding(
            data,
            "scenarios without labels",
            ~labelled,
            "note",
            "They are sources of transfer only; rankings in them are not evaluated.",
            "Every scenario has labelled rows.",
        ),
        _scenario_finding(
            data,
            "scenarios without behaviour",
            ~active,
            "warning",
            "They have no history: rankings in them depend on behaviour in other scenarios.",
            "Every scenario has behaviour.",
        ),
        _scenario_finding(
            data,
            "scenarios without description",
            ~data.described,
            "warning",
            "Transfer to and from them lacks text features: a sentence in column description helps.",
            "Every scenario has a description.",
        ),
    ]


def _scenario_finding(data: CheckedData, name: str, mask: np.ndarray, level: Level, meaning: str, good: str) -> Finding:
    names = [scenario for scenario, hit in zip(data.scenarios, mask, strict=True) if hit]
    if not names:
        return Finding(name, "ok", good)
    return Finding(name, level, meaning, {"scenarios": names})


def check_users(data: CheckedData) -> list[Finding]:
    """Find users in one scenario only, and users of labelled rows without behaviour."""
    events = data.events
    pairs = np.unique(events.user[events.behavior] * len(data.scenarios) + events.scenario[events.behavior])
    scenarios_of = np.bincount(pairs // max(len(data.scenarios), 1), minlength=events.users)
    active, single = int((scenarios_of > 0).sum()), int((scenarios_of == 1).sum())
    labelled = np.unique(events.user[events.labelled])
    cold = int((scenarios_of[labelled] == 0).sum())
    share, cold_share = single / max(active, 1), cold / max(len(labelled), 1)
    alone = len(data.scenarios) == 1
    return [
        Finding(
            "users in one scenario only",
            "note" if alone else level_of_share(share, FEW_SHARED, 0.9),
            "There is one scenario: ranking works, but there is nothing to transfer."
            if alone
            else "Transfer needs users in several scenarios; if user ids differ between scenarios, map them to common "
            "ids first."
            if share > FEW_SHARED
            else "Users are in several scenarios.",
            {"users": active, "in one scenario": single, "share": round(share, 4)},
        ),
        Finding(
            "labelled users without behaviour",
            level_of_share(cold_share, 0, 0.5),
            "The model learns popularity only from their rows, as for new users; add their history as events."
            if cold
            else "Every user with labels has behaviour.",
            {"users": len(labelled), "without behaviour": cold, "share": round(cold_share, 4)},
        ),
    ]


def check_items(data: CheckedData) -> list[Finding]:
    """Find items without events, text, categories or price."""
    rows, count = data.items, data.items.items
    own = rows.item[rows.own]
    seen = np.zeros(count, bool)
    seen[data.events.item[data.events.item != NONE]] = True
    listed = np.zeros(count, bool)
    listed[own] = True
    total = max(int(listed.sum()), 1)

    def count_lacking(given: np.ndarray) -> int:
        has = np.zeros(count, bool)
        has[own[given]] = True
        return int((listed & ~has).sum())

    gaps = {
        "items without text": (
            count_lacking((rows.titled | rows.described)[rows.own]),
            0.5,
            "Text features help where behaviour is sparse; without them new items have no signal.",
        ),
        "items without categories": (
            count_lacking((rows.categories > 0)[rows.own]),
            1.0,
            "Preferences are also counted per category; without categories only per item.",
        ),
        "items without price": (
            count_lacking(rows.priced[rows.own]),
            1.0,
            "Price features stay unknown; fine if items have no prices.",
        ),
        "items without events": (
            int((listed & ~seen).sum()),
            1.0,
            "They can be ranked by text, category and attributes, but have no popularity.",
        ),
    }
    return [
        Finding(
            name,
            level_of_share(missing / total, 0, bound),
            meaning if missing else "No item lacks it.",
            {"items": total, "without": missing, "share": round(missing / total, 4)},
        )
        for name, (missing, bound, meaning) in gaps.items()
    ]


def check_engagement_types(data: CheckedData, engagement: Mapping[str, float]) -> Finding:
    """Find event types without weight as engagement."""
    counts = np.bincount(data.events.type, minlength=len(ROW_TYPES))
    # Other types (impressions, queries) are never engagement: they have features of their own.
    unweighted = {
        name: int(counts[number])
        for number, name in enumerate(ROW_TYPES)
        if counts[number] and name in ENGAGEMENT_TYPES and not engagement.get(name, 0.0)
    }
    return Finding(
        "events without weight",
        "warning" if unweighted else "ok",
        "These types have no weight in features.engagement: preferences and popularity ignore them."
        if unweighted
        else "Every action on an item counts as engagement.",
        unweighted,
    )
