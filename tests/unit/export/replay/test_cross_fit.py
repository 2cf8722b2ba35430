"""Rows of a random split know all of training but their own share, and nothing of what is tested."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pytest

from export.datasets.registry import import_dataset
from export.datasets.storage import DatasetReader
from export.replay.cross_fit import EVERYBODY, FOLDS, cross_fit_rows, folds, known_to, split_events
from export.rows.reader import RowSource
from services.features.config import FeatureConfig
from services.settings.load import Settings
from services.settings.training import DatasetSettings
from services.text.protocol import HashingEncoder

USERS, ITEMS = 24, 15
START_MS, DAY_MS = 1_767_225_600_000, 86_400_000
RULES = DatasetSettings(label_events=("rating",), rating_threshold=4.0, split="random", seed=3)
SETTINGS = Settings(features=FeatureConfig(liked_from={"rating": 4.0}), dataset=RULES)
Ratings = dict[tuple[int, int], int]


def ratings() -> Ratings:
    """Values of half of all pairs."""
    random = np.random.default_rng(5)
    pairs = [(user, item) for user in range(USERS) for item in range(ITEMS) if random.random() < 0.5]
    return {pair: int(random.integers(1, 6)) for pair in pairs}


def reader(directory: Path, values: Ratings) -> DatasetReader:
    """A data set of ratings, each after a click on the item, and a query per user."""
    directory.mkdir()
    shared = {"scenario_id": "tv"}
    rows: list[dict[str, Any]] = []
    for number, ((user, item), value) in enumerate(values.items()):
        at = {"user_id": f"u{user}", "item_id": f"i{item}", "time": START_MS + number % 7 * DAY_MS + number * 1000}
        rows += [{**shared, **at, "type": "click"}, {**shared, **at, "type": "rating", "value": value}]
    rows += [{**shared, "user_id": f"u{u}", "type": "query", "text": "tea", "time": START_MS} for u in range(USERS)]
    (directory / "events.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    import_dataset("jsonl", directory / "data", source=directory, settings=RULES)
    return DatasetReader(directory / "data")


def rows_of(directory: Path, values: Ratings) -> dict[str, dict[tuple[str, str], tuple[int, np.ndarray]]]:
    """Label and item features of each row, by split and (user, item)."""
    cross_fit_rows(SETTINGS, reader(directory, values), directory / "rows", RULES, encoder=HashingEncoder())
    found: dict[str, dict[tuple[str, str], tuple[int, np.ndarray]]] = {}
    for split in ("train", "validation", "test"):
        source = RowSource(directory / "rows", split)
        names = source.columns("user_id", "item_id")
        pair = dict(zip(names["row"].tolist(), zip(names["user_id"], names["item_id"], strict=True), strict=True))
        found[split] = {}
        for batch in source.batches():
            for row, label, item in zip(batch.row.tolist(), batch.label.tolist(), batch.item, strict=True):
                found[split][pair[row]] = label, item
    return found


def column(directory: Path, name: str) -> int:
    return RowSource(directory / "rows", "train").tensors["item"].index(name)


def test_a_row_knows_the_other_shares_alone(tmp_path: Path) -> None:
    """No share holds a pair of another one; what is tested is in no share; events without an item are in all."""
    events = split_events(reader(tmp_path / "made", ratings()).table("events"), RULES)
    fold = folds(events)
    pair = np.array([f"{u}|{i}" for u, i in zip(*(events[n].to_pylist() for n in ("user_id", "item_id")), strict=True)])
    of_pair = {name: set(fold[pair == name].tolist()) for name in set(pair.tolist())}
    assert all(len(shares) == 1 for shares in of_pair.values())
    query = pc.equal(events["type"], "query").to_numpy()
    assert {EVERYBODY} == set(fold[query].tolist())
    assert set(range(FOLDS + 1)) == set(fold[~query].tolist())
    tested = pc.fill_null(pc.not_equal(events["split"], "train"), False).to_numpy()
    assert {FOLDS} == set(fold[tested].tolist())
    for number in range(FOLDS + 1):
        table = known_to(events, fold, number, 4e9)
        at = pc.equal(table["type"], "candidate").to_pylist()
        names = [f"{u}|{i}" for u, i in zip(*(table[n].to_pylist() for n in ("user_id", "item_id")), strict=True)]
        own, others = ({name for name, mine in zip(names, at, strict=True) if mine is flag} for flag in (True, False))
        assert own
        assert not own & others
        assert not {name for name in others if of_pair[name] == {FOLDS}}
        assert table["label"].is_valid().to_pylist() == at
        assert USERS == pc.sum(pc.equal(table["type"], "query")).as_py()


def test_every_rating_is_a_row_once_in_exact_shares(tmp_path: Path) -> None:
    """With its label; a user's requests are those of the data's own days."""
    values = ratings()
    found = rows_of(tmp_path / "made", values)
    labels = {pair: label for split in found.values() for pair, (label, _) in split.items()}
    assert {(f"u{u}", f"i{i}"): int(value >= 4) for (u, i), value in values.items()} == labels
    assert [0.8, 0.1, 0.1] == pytest.approx([len(part) / len(values) for part in found.values()], abs=0.02)
    requests = RowSource(tmp_path / "made" / "rows", "train").columns("request_id")["request_id"]
    assert USERS < len(set(requests.tolist())) <= 7 * USERS


def test_no_row_knows_its_own_events(tmp_path: Path) -> None:
    """Neither its click nor its rating: to every row its user has done nothing with its item."""
    found = rows_of(tmp_path / "made", ratings())
    known = column(tmp_path / "made", "user_item_known")
    assert {0.0} == {float(item[known]) for split in found.values() for _, item in split.values()}


def test_what_is_tested_changes_no_features(tmp_path: Path) -> None:
    """Other values of tested ratings make other labels, and leave the features of every row as they are."""
    values = ratings()
    before = rows_of(tmp_path / "before", values)
    tested = {(int(user[1:]), int(item[1:])) for split in ("validation", "test") for user, item in before[split]}
    after = rows_of(tmp_path / "after", {pair: 6 - v if pair in tested else v for pair, v in values.items()})
    assert any(before["test"][pair][0] != after["test"][pair][0] for pair in before["test"])
    for split, rows in before.items():
        assert rows.keys() == after[split].keys()
        for pair, (_, item) in rows.items():
            np.testing.assert_array_equal(item, after[split][pair][1])


def test_a_training_row_knows_later_ratings_of_others(tmp_path: Path) -> None:
    """Time does not count: the first rating of an item is a row that knows the item."""
    values = ratings()
    found = rows_of(tmp_path / "made", values)
    liked = column(tmp_path / "made", "item_rating_value")
    first = {item: (f"u{user}", f"i{item}") for user, item in reversed(values)}
    knows = [found["train"][pair][1][liked] for pair in first.values() if pair in found["train"]]
    assert len(knows) > ITEMS / 2
    assert all(knows)


def test_finished_rows_are_kept(tmp_path: Path) -> None:
    """Until data, split or features are others."""
    data = reader(tmp_path / "made", ratings())

    def written(rules: DatasetSettings = RULES) -> int:
        cross_fit_rows(SETTINGS, data, tmp_path / "rows", rules, encoder=HashingEncoder())
        return (tmp_path / "rows" / "rows.parquet").stat().st_mtime_ns

    first = written()
    assert first == written()
    assert first != written(RULES.model_copy(update={"seed": 4}))
