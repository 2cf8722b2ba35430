"""Labelled rows of a data set as requests: their groups, contexts and kinds of negatives."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from export.datasets.registry import import_dataset
from export.datasets.requests import drop_day_groups
from export.datasets.storage import DatasetReader
from export.replay.history import load_history
from export.rows.requests import LabelledRequests, read_feature_rows
from services.features.config import Attribute, FeatureConfig
from services.features.schema import build_schema
from services.settings.training import DatasetSettings
from services.store.memory import MemoryRowStore

CONFIG = FeatureConfig(attributes=(Attribute("hour", "context"),))
START_MS = 1_767_225_600_000
DAY_MS = 86_400_000


def requests(directory: Path, events: list[dict[str, Any]], **settings: Any) -> LabelledRequests:
    directory.mkdir()
    (directory / "events.jsonl").write_text("".join(json.dumps(row) + "\n" for row in events))
    import_dataset("jsonl", directory / "data", source=directory, settings=DatasetSettings(**settings))
    return load_history(DatasetReader(directory / "data"), CONFIG).requests


def row(kind: str, user: str, ms: int, item: str, **more: Any) -> dict[str, Any]:
    return {"user_id": user, "scenario_id": "tv", "item_id": item, "type": kind, "time": START_MS + ms, **more}


def test_rows_without_a_request_are_grouped_by_user_scenario_and_day(tmp_path: Path) -> None:
    """Labels of one's own and rating rows are lists of a user's day, not one list of everybody."""
    moments = [(user, day * DAY_MS) for user in "ab" for day in (1, 2)]
    shown = [
        *(row("impression", *who, f"i{n}", label=n) for who in moments for n in range(2)),
        row("impression", "a", DAY_MS + 5, "i3", label=0, scenario_id="phone"),
        row("impression", "a", DAY_MS + 6, "i3", label=0, request_id="mine"),
    ]
    rated = [row("rating", user, ms + n, f"i{n}", value=n) for user, ms in moments for n in (1, 5)]
    given = requests(tmp_path / "given", shown)
    made = requests(tmp_path / "made", rated, label_events=("rating",), rating_threshold=4.0)
    ids, sizes = np.unique(given.request_id.astype(str), return_counts=True)
    assert [1, 2, 2, 2, 2, 1] == sizes.tolist()
    assert "mine" == ids[-1]
    assert [2, 2, 2, 2] == np.unique(made.request_id.astype(str), return_counts=True)[1].tolist()
    own = drop_day_groups(pa.chunked_array([pa.array(ids.tolist())])).to_pylist()
    assert [None] * 5 + ["mine"] == own


def test_made_rows_keep_their_context_and_kind(tmp_path: Path) -> None:
    """What the settings declare reaches the replay's requests, and how each negative was drawn."""
    events = [row("click", f"u{n}", n * DAY_MS, f"i{n % 8}", context={"hour": float(1 + n % 24)}) for n in range(60)]
    found = requests(tmp_path / "made", events, label_events=("click",), negatives="sampled", negative_sampling="mixed")
    days = np.round((found.time_s * 1000 + 1 - START_MS) / DAY_MS).astype(int)
    np.testing.assert_array_equal(1.0 + days % 24, found.context[:, 0])
    assert found.sampling is not None
    assert {"", "uniform", "popularity"} == set(found.sampling)
    assert {""} == set(found.sampling[found.label == 1])


@pytest.mark.parametrize(("other", "contexts"), [(3.0, 1), (4.0, 2)])
def test_requests_of_one_user_and_time_keep_their_own_context(other: float, contexts: int) -> None:
    """Rows share a context only if its attributes are the same."""
    schema, count = build_schema(CONFIG), 3
    same = np.array(["u"] * count, object)
    asked = LabelledRequests(
        request_id=np.array(["r", "r", "s"], object),
        user=same,
        scenario=same,
        item=np.array(["a", "b", "a"], object),
        label=np.zeros(count, np.int64),
        split=same,
        time_s=np.full(count, 1e9),
        context=np.array([[3.0], [3.0], [other]]),
    )
    rows = read_feature_rows(MemoryRowStore(), schema, 1, ["tv"], asked)
    assert contexts == rows.user.size == len(rows.context)
    np.testing.assert_array_equal(asked.context, rows.context[rows.pair_request])


def test_a_part_has_all_columns() -> None:
    """Rows with and without kinds of negatives."""
    text = np.array(["a", "b"], object)
    whole = LabelledRequests(text, text, text, text, np.arange(2), text, np.arange(2.0), np.zeros((2, 1)))
    assert whole.part(slice(1, 2)).sampling is None
    part = replace(whole, sampling=text).part(slice(1, 2))
    assert part.sampling is not None
    assert (["b"], ["b"], 1.0) == (part.user.tolist(), part.sampling.tolist(), part.time_s[0])
