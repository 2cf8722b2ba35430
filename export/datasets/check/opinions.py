"""Checks that the values of events, such as ratings, have a threshold from which on they like their item.

Reads types and values of the events once more. Knows event types and settings; knows nothing of labels.
"""

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from export.datasets.check.columns import Floats, TableReader
from export.datasets.check.report import Finding, Number
from services.features.event_types import OPINION_TYPES

WITHOUT = "values without a threshold"
ONE_SIDED = "thresholds of values"


def check_opinions(tables: TableReader, liked_from: Mapping[str, float]) -> list[Finding]:
    """Find types with values that have no threshold in features.liked_from, and thresholds that divide no values."""
    values = _read_values(tables)
    missing: dict[str, Number] = {
        name: f"{len(found)}, median {np.median(found):g}"
        for name, found in values.items()
        if len(found) and name not in liked_from
    }
    shares = {
        name: float((values[name] >= liked_from[name]).mean()) if len(values[name]) else 0.0 for name in liked_from
    }
    one_sided: dict[str, Number] = {
        f"share of {name} liked": share for name, share in shares.items() if share in (0, 1)
    }
    return [
        Finding(
            WITHOUT,
            "warning" if missing else "ok",
            "The lowest value counts as engagement like the highest: set features.liked_from, the least value of each "
            "type that likes its item."
            if missing
            else "Every type of events with values, like ratings, has a threshold, or there is none.",
            missing,
        ),
        Finding(
            ONE_SIDED,
            "warning" if one_sided else "ok",
            "All values, or none, are liked, so that nothing is learned from them: choose another threshold in "
            "features.liked_from."
            if one_sided
            else "Thresholds divide likes from dislikes, or there is none.",
            one_sided,
        ),
    ]


def _read_values(tables: TableReader) -> dict[str, Floats]:
    """The values of each type whose values are opinions, where events have one."""
    parts: dict[str, list[Floats]] = {name: [] for name in OPINION_TYPES}
    for batch in tables.batches("events", ["type", "value"]):
        given = pa.Table.from_batches([batch]).filter(pc.is_valid(batch["value"]))
        for name, held in parts.items():
            held.append(given.filter(pc.equal(given["type"], name))["value"].to_numpy())
    return {name: np.concatenate([np.zeros(0), *held]) for name, held in parts.items()}
