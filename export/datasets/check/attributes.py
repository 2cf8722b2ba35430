"""Checks of attributes at labelled rows: declared or not, how many rows have one, whether it gives the label away.

Reads the events once more: values are those that a labelled row's features would have. Knows numbers by name.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from export.datasets.check.columns import Floats, Mask, TableReader, hash_strings
from export.datasets.check.lists import single_auc
from export.datasets.check.report import Finding, level_of_share
from services.features.attributes import Attribute

SURE_AUC, STRONG_AUC = 0.99, 0.95
"""A single attribute with such an AUC, or 1 minus it, was most likely made from the labels."""

FEW_ROWS = 20
"""Rows of either class from which on an AUC is not chance."""


@dataclass(frozen=True)
class AttributeAtRows:
    """An attribute at the labelled rows.

    Args:
        entity: what it describes: item, item_scenario or context.
        name: its name.
        value: [R] values, NaN where a row has none.
        elsewhere: number of events without a label that have a value; 0 for attributes of items.
    """

    entity: str
    name: str
    value: Floats
    elsewhere: int = 0

    @property
    def share(self) -> float:
        """Share of the rows with a value."""
        return float((~np.isnan(self.value)).mean()) if len(self.value) else 0.0

    def __str__(self) -> str:
        """Entity and name, as in messages."""
        return f"{self.entity} {self.name}"


@dataclass(frozen=True)
class _Given:
    """Values of attributes as triples: owner (a row, or a key), name, value [K]."""

    owner: npt.NDArray[np.generic]
    name: npt.NDArray[np.object_]
    value: Floats

    def names(self) -> list[str]:
        return sorted(set(self.name.tolist()))


def _given(owner: npt.NDArray[np.generic], column: pa.Array) -> _Given:
    """The values of a column of maps, by the owner of each row."""
    begin, end = column.offsets[0].as_py(), column.offsets[-1].as_py()
    counts = np.diff(column.offsets.to_numpy())
    names = column.keys.slice(begin, end - begin).to_numpy(zero_copy_only=False)
    values = column.items.slice(begin, end - begin).to_numpy(zero_copy_only=False).astype(np.float64)
    return _Given(np.repeat(owner, counts), names, values)


def _join(parts: Sequence[_Given]) -> _Given:
    kept = [part for part in parts if len(part.name)]
    if not kept:
        return _Given(np.zeros(0, np.uint64), np.zeros(0, object), np.zeros(0))
    return _Given(*(np.concatenate([getattr(part, field) for part in kept]) for field in ("owner", "name", "value")))


@dataclass(frozen=True)
class _LabelledRows:
    positive: Mask
    item: npt.NDArray[np.uint64]
    pair: npt.NDArray[np.uint64]
    context: _Given
    elsewhere: dict[str, int]


def read_attributes(tables: TableReader) -> tuple[Mask, Iterator[AttributeAtRows]]:
    """Whether each labelled row is positive [R], and every attribute of the data at those rows, one after the other."""
    rows = _read_rows(tables)
    return rows.positive, _at_rows(tables, rows)


def _read_rows(tables: TableReader) -> _LabelledRows:
    labels, items, pairs, contexts = [], [], [], []
    elsewhere: dict[str, int] = {}
    begin = 0
    for batch in tables.batches("events", ("item_id", "scenario_id", "label", "context")):
        labelled = batch["label"].is_valid()
        chosen = batch.filter(labelled)
        labels.append(chosen["label"].to_numpy(zero_copy_only=False) == 1)
        item, scenario = hash_strings(chosen["item_id"]), hash_strings(chosen["scenario_id"])
        items.append(item)
        pairs.append(_pair(item, scenario))
        contexts.append(_given(begin + np.arange(chosen.num_rows), chosen["context"]))
        begin += chosen.num_rows
        unlabelled = batch.filter(pc.invert(labelled))
        names = _given(np.zeros(unlabelled.num_rows), unlabelled["context"]).name
        for name, count in zip(*np.unique(names.astype(str), return_counts=True), strict=True):
            elsewhere[str(name)] = elsewhere.get(str(name), 0) + int(count)
    return _LabelledRows(
        np.concatenate([*labels, np.zeros(0, bool)]),
        np.concatenate([*items, np.zeros(0, np.uint64)]),
        np.concatenate([*pairs, np.zeros(0, np.uint64)]),
        _join(contexts),
        elsewhere,
    )


def _pair(item: npt.NDArray[np.uint64], scenario: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    return item * np.uint64(0x9E3779B97F4A7C15) + scenario


def _at_rows(tables: TableReader, rows: _LabelledRows) -> Iterator[AttributeAtRows]:
    own, placed = [], []
    for batch in tables.batches("items", ("item_id", "scenario_id", "attributes")):
        of_item = batch["scenario_id"].is_null()
        part, other = batch.filter(of_item), batch.filter(pc.invert(of_item))
        own.append(_given(hash_strings(part["item_id"]), part["attributes"]))
        keys = _pair(hash_strings(other["item_id"]), hash_strings(other["scenario_id"]))
        placed.append(_given(keys, other["attributes"]))
    for entity, given, wanted in (("item", _join(own), rows.item), ("item_scenario", _join(placed), rows.pair)):
        for name in given.names():
            yield AttributeAtRows(entity, name, _look_up(given, name, wanted))
    context = rows.context
    for name in sorted({*context.names(), *rows.elsewhere}):
        value, mine = np.full(len(rows.positive), np.nan), context.name == name
        value[context.owner[mine].astype(np.int64)] = context.value[mine]
        yield AttributeAtRows("context", name, value, rows.elsewhere.get(name, 0))


def _look_up(given: _Given, name: str, wanted: npt.NDArray[np.uint64]) -> Floats:
    """The latest value of an attribute for each wanted key; NaN without one."""
    mine = np.flatnonzero(given.name == name)
    keys, last = np.unique(given.owner[mine][::-1], return_index=True)
    place = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[place] == wanted, given.value[mine][::-1][last][place], np.nan)


def check_attributes(
    positive: Mask, attributes: Iterator[AttributeAtRows], declared: Sequence[Attribute]
) -> list[Finding]:
    """Find attributes not declared, declared ones that rows lack, and ones that give the label away."""
    wanted = {f"{a.entity} {a.name}" for a in declared}
    shares: dict[str, float] = {}
    unused: list[str] = []
    strong: list[str] = []
    sure: list[str] = []
    lost: list[str] = []
    for attribute in attributes:
        name = str(attribute)
        if name not in wanted:
            unused.append(name)
        shares[name] = attribute.share
        if name in wanted and attribute.elsewhere and not attribute.share:
            lost.append(name)
        area = _power(positive, attribute.value)
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
        _absent({name for name, share in known.items() if not share}, lost),
        _coverage({name: share for name, share in known.items() if share}),
        Finding(
            "attributes that tell the label",
            "error" if sure else "warning" if strong else "ok",
            "One such number alone orders positives above negatives (AUC): it was most likely made from the labels or "
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


def _power(positive: Mask, value: Floats) -> float:
    """AUC of the values among rows that have one, or of having one; or 1 minus it, if that is more."""
    given = ~np.isnan(value)
    areas = (_area(positive, given.astype(np.float64)), _area(positive[given], value[given]))
    return max(max(area, 1 - area) for area in areas)


def _area(positive: Mask, value: Floats) -> float:
    """AUC; 0.5 with few rows of a class, which a value may order by chance."""
    return single_auc(positive, value) if min(positive.sum(), (~positive).sum()) >= FEW_ROWS else 0.5
