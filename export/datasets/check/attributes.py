"""Checks of attributes at labelled rows: declared or not, how many rows have one, whether it gives the label away.

Pure functions of values at labelled rows; attributes of users, and categories, are checked by name in categories.py.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from export.datasets.check.attribute_values import AttributeAtRows
from export.datasets.check.columns import Floats, Mask
from export.datasets.check.lists import single_auc
from export.datasets.check.report import Finding, level_of_share
from services.features.attributes import Attribute

SURE_AUC, STRONG_AUC = 0.99, 0.95
"""A single attribute with such an AUC, or 1 minus it, was most likely made from the labels."""

FEW_ROWS = 20
"""Rows of either class from which on an AUC is not chance."""


def check_attributes(
    positive: Mask, attributes: Iterator[AttributeAtRows], declared: Sequence[Attribute]
) -> list[Finding]:
    """Find attributes not declared, declared ones that rows lack, and ones that give the label away."""
    wanted = {f"{a.entity} {a.name}" for a in declared}
    by_name = {f"{a.entity} {a.name}" for a in declared if a.entity == "user" or a.kind != "number"}
    shares: dict[str, float] = {}
    unused: list[str] = []
    strong: list[str] = []
    sure: list[str] = []
    lost: list[str] = []
    for attribute in attributes:
        name = str(attribute)
        if name not in wanted and not attribute.categorical and attribute.entity != "user":
            unused.append(name)
        shares[name] = attribute.share
        if name in wanted and attribute.elsewhere and not attribute.share:
            lost.append(name)
        area = _power(positive, attribute)
        (sure if area >= SURE_AUC else strong if area >= STRONG_AUC else []).append(f"{name} {area:.3f}")
    known = {name: shares.get(name, 0.0) for name in sorted(wanted)}
    undeclared = Finding(
        "attributes not declared",
        "warning" if unused else "ok",
        "They are not features until [[features.attributes]] declares them."
        if unused
        else "Every attribute of the data is declared.",
        {"attributes": unused} if unused else {},
    )
    if not len(positive):
        return [undeclared]
    return [
        undeclared,
        _absent({name for name, share in known.items() if not share and name not in by_name}, lost),
        _coverage({name: share for name, share in known.items() if share}),
        Finding(
            "attributes that tell the label",
            "error" if sure else "warning" if strong else "ok",
            "One such value alone orders positives above negatives (AUC): it was most likely made from the labels or "
            "after them. Leave it out, or give the value that was known at the request."
            if sure or strong
            else "No attribute alone tells the label.",
            {"attributes": [*sure, *strong]} if sure or strong else {},
        ),
    ]


def _absent(absent: set[str], lost: Sequence[str]) -> Finding:
    text = "Their feature always has its default in training: check spelling and entity."
    if lost:
        text = (
            f"{', '.join(lost)}: other events have values, labelled rows none, so the model is trained on defaults "
            "while requests bring values: give labelled rows the context of their request."
        )
    return Finding(
        "declared attributes without values",
        "warning" if absent else "ok",
        text if absent else "Labelled rows have values of every declared attribute.",
        {"attributes": sorted(absent)} if absent else {},
    )


def _coverage(shares: dict[str, float]) -> Finding:
    least = min(shares.values(), default=1.0)
    lacking = [f"{name} {share:.1%}" for name, share in shares.items() if share < 0.99]
    return Finding(
        "labelled rows with attributes",
        level_of_share(1 - least, 0.01, 0.5),
        "The other labelled rows have the default, as if it were a value: give it where it is known."
        if lacking
        else "Nearly all labelled rows have all declared attributes.",
        {"attributes": lacking} if lacking else {},
    )


def _power(positive: Mask, attribute: AttributeAtRows) -> float:
    """AUC of the values among rows that have one, or of having one; or 1 minus it, if that is more."""
    given = ~np.isnan(attribute.value)
    label, value = positive[given], attribute.value[given]
    if attribute.categorical:
        label, value = _rates(label, value)
    areas = (_area(positive, given.astype(np.float64)), _area(label, value))
    return max(max(area, 1 - area) for area in areas)


def _rates(label: Mask, value: Floats) -> tuple[Mask, Floats]:
    """Rows of frequent categories, and the share of positives in each one's category instead of its code."""
    _, code, rows = np.unique(value, return_inverse=True, return_counts=True)
    code = code.reshape(-1)
    rate = np.bincount(code, label, len(rows)) / np.maximum(rows, 1)
    frequent = rows[code] >= FEW_ROWS
    return label[frequent], rate[code][frequent]


def _area(positive: Mask, value: Floats) -> float:
    """AUC; 0.5 with few rows of a class, which a value may order by chance."""
    return single_auc(positive, value) if min(positive.sum(), (~positive).sum()) >= FEW_ROWS else 0.5
