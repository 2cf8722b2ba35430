"""Checks of what there is to learn from: labels, scenarios, users, items, texts, attributes.

Pure functions of compact columns. Each says what a gap means for the model.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from export.datasets.check.columns import NONE, CheckedData, EventColumns
from export.datasets.check.findings import Finding, Level, graded
from export.datasets.tables import ROW_TYPES, SPLITS
from services.features.config import Attribute
from services.features.event_types import ENGAGEMENT_TYPES

FEW_POSITIVES = 100
"""Positives to train on below which a model learns little more than averages."""

RARE, FREQUENT = 0.001, 0.8
"""Shares of positives outside of which labels look like a mistake."""


def labels(data: CheckedData) -> list[Finding]:
    """Whether each split has rows of both classes, and enough of them."""
    events = data.events
    rows, positives = np.zeros(len(SPLITS), int), np.zeros(len(SPLITS), int)
    for number in range(len(SPLITS)):
        chosen = events.labelled & (events.split == number)
        rows[number], positives[number] = chosen.sum(), (events.label[chosen] == 1).sum()
    counts = {
        f"{split} {what}": int(n)
        for what, found in (("rows", rows), ("positives", positives))
        for split, n in zip(SPLITS, found, strict=True)
    }
    if not rows.sum():
        text = "There is nothing to train on: give column label, or set dataset.label_events to have labels made."
        return [Finding("labels", "error", text, counts)]
    return [_classes(rows, positives, counts), _balance(rows, positives)]


def _classes(rows: np.ndarray, positives: np.ndarray, counts: Mapping[str, int]) -> Finding:
    poor = [split for split, n, p in zip(SPLITS, rows, positives, strict=True) if not 0 < p < n]
    if "train" in poor:
        text = "The training rows lack positives or negatives, so nothing can be learned: see dataset.negatives."
        return Finding("labels", "error", text, counts)
    if poor:
        text = (
            f"Split {' and '.join(poor)} lacks positives or negatives: no AUC there, and no choice of the best epoch."
        )
        return Finding("labels", "warning", text, counts)
    if positives[0] < FEW_POSITIVES:
        text = f"Fewer than {FEW_POSITIVES} positives to train on: enough to try the commands, not to learn from."
        return Finding("labels", "warning", text, counts)
    return Finding("labels", "ok", "Every split has positives and negatives.", counts)


def _balance(rows: np.ndarray, positives: np.ndarray) -> Finding:
    share = float(positives.sum() / rows.sum())
    extreme = not RARE <= share <= FREQUENT
    return Finding(
        "share of positives",
        "warning" if extreme else "ok",
        f"Outside {RARE:.1%} to {FREQUENT:.0%} labels are often a mistake: check threshold, window and negatives."
        if extreme
        else "Neither class drowns the other.",
        {"share": round(share, 4)},
    )


def scenarios(data: CheckedData) -> list[Finding]:
    """Scenarios without labels, without behaviour, without words."""
    events, count = data.events, len(data.scenarios)
    labelled = np.bincount(events.scenario[events.labelled], minlength=count) > 0
    lived = np.bincount(events.scenario[events.behavior], minlength=count) > 0
    return [
        _named(
            data,
            "scenarios without labels",
            ~labelled,
            "note",
            "They serve as sources of transfer only; their own rankings are untested.",
            "Every scenario has labelled rows.",
        ),
        _named(
            data,
            "scenarios without behaviour",
            ~lived,
            "warning",
            "There is no history in them: rankings there rest on what users did elsewhere.",
            "Every scenario has behaviour.",
        ),
        _named(
            data,
            "scenarios without description",
            ~data.described,
            "warning",
            "Transfer to and from them cannot tell what they are like: one sentence in column description helps.",
            "Every scenario is described in words.",
        ),
    ]


def _named(data: CheckedData, name: str, found: np.ndarray, level: Level, meaning: str, good: str) -> Finding:
    names = [scenario for scenario, hit in zip(data.scenarios, found, strict=True) if hit]
    if not names:
        return Finding(name, "ok", good)
    return Finding(name, level, meaning, {"scenarios": names})


def users(data: CheckedData) -> list[Finding]:
    """Users in one scenario only, and users of labelled rows without any behaviour."""
    events = data.events
    pairs = np.unique(events.user[events.behavior] * len(data.scenarios) + events.scenario[events.behavior])
    met = np.bincount(pairs // max(len(data.scenarios), 1), minlength=events.users)
    active, single = int((met > 0).sum()), int((met == 1).sum())
    asked = np.unique(events.user[events.labelled])
    cold = int((met[asked] == 0).sum())
    share, cold_share = single / max(active, 1), cold / max(len(asked), 1)
    alone = len(data.scenarios) == 1
    return [
        Finding(
            "users in one scenario only",
            "note" if alone else graded(share, 0.5, 0.9),
            "There is one scenario: ranking works, but there is nothing to transfer."
            if alone
            else "For these users nothing can be transferred, the model has their one scenario; if ids differ between "
            "scenarios, join them first.",
            {"users": active, "in one scenario": single, "share": round(share, 4)},
        ),
        Finding(
            "labelled users without behaviour",
            graded(cold_share, 0, 0.5),
            "Their rows teach popularity only, as for new users; if they have a history, add it as events."
            if cold
            else "Every user with labels has behaviour.",
            {"users": len(asked), "without behaviour": cold, "share": round(cold_share, 4)},
        ),
    ]


def items(data: CheckedData) -> list[Finding]:
    """Items without events, words, categories or prices."""
    rows, count = data.items, data.items.items
    own = rows.item[rows.own]
    seen = np.zeros(count, bool)
    seen[data.events.item[data.events.item != NONE]] = True
    listed = np.zeros(count, bool)
    listed[own] = True
    total = max(int(listed.sum()), 1)

    def lacking(given: np.ndarray) -> int:
        has = np.zeros(count, bool)
        has[own[given]] = True
        return int((listed & ~has).sum())

    gaps = {
        "items without words": (
            lacking((rows.titled | rows.described)[rows.own]),
            0.5,
            "Text finds similar items where behaviour is thin; without it new items start from nothing.",
        ),
        "items without categories": (
            lacking((rows.categories > 0)[rows.own]),
            1.0,
            "What users like of a kind is counted per category; without them only the items themselves count.",
        ),
        "items without price": (
            lacking(rows.priced[rows.own]),
            1.0,
            "The price features stay unknown, which is fine where nothing has a price.",
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
            graded(missing / total, 0, bound),
            meaning if missing else "None is missing.",
            {"items": total, "without": missing, "share": round(missing / total, 4)},
        )
        for name, (missing, bound, meaning) in gaps.items()
    ]


def uncounted_types(data: CheckedData, engagement: Mapping[str, float]) -> Finding:
    """Events of types that count nothing as engagement."""
    counts = np.bincount(data.events.type, minlength=len(ROW_TYPES))
    # Other types (impressions, queries) are never engagement: they have features of their own.
    silent = {
        name: int(counts[number])
        for number, name in enumerate(ROW_TYPES)
        if counts[number] and name in ENGAGEMENT_TYPES and not engagement.get(name, 0.0)
    }
    return Finding(
        "events that count nothing",
        "warning" if silent else "ok",
        "These types have no weight in features.engagement, so users' tastes and popularity ignore them."
        if silent
        else "Every action on an item counts as engagement.",
        silent,
    )


def attributes(data: CheckedData, declared: Sequence[Attribute]) -> list[Finding]:
    """Attributes in the data that are not declared, and declared ones that are not in the data."""
    given = {"item": data.items.attributes, "item_scenario": data.items.scenario_attributes}
    names = {entity: {a.name for a in declared if a.entity == entity} for entity in given}
    unused = [f"{entity} {name}" for entity, found in given.items() for name in sorted(found - names[entity])]
    absent = [f"{entity} {name}" for entity, found in given.items() for name in sorted(names[entity] - found)]
    return [
        Finding(
            "attributes not declared",
            "warning" if unused else "ok",
            "They are not features until [[features.attributes]] declares them."
            if unused
            else "Every attribute of the data is declared.",
            {"attributes": unused} if unused else {},
        ),
        Finding(
            "declared attributes without values",
            "warning" if absent else "ok",
            "Their feature is the default everywhere: check spelling and entity."
            if absent
            else "Every declared attribute has values.",
            {"attributes": absent} if absent else {},
        ),
    ]


def requests(events: EventColumns) -> Finding:
    """Labelled rows without a request, and requests of a single row."""
    unnamed = int((events.labelled & (events.request == 0)).sum())
    sizes = np.unique(events.request[events.labelled & (events.request != 0)], return_counts=True)[1]
    single = int((sizes == 1).sum())
    share = (unnamed + single) / max(unnamed + len(sizes), 1)
    return Finding(
        "rows ranked alone",
        graded(share, 0.5, 0.9),
        "NDCG compares what was ranked together; rows without request_id, or alone in one, tell it nothing."
        if unnamed + single
        else "Every labelled row was ranked with others.",
        {"without request": unnamed, "requests": len(sizes), "of one row": single},
    )
