"""Attributes in a data set's files: numbers, texts and lists of texts, of users, items and the context of events."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from export.datasets.erasures import add_erasure
from export.datasets.errors import DatasetError
from export.datasets.registry import import_dataset
from export.datasets.storage import DatasetReader
from export.replay.history import load_history
from services.features.attributes import category_keys
from services.features.config import Attribute, FeatureConfig

EVENT = {"user_id": "u", "scenario_id": "tv", "item_id": "i", "type": "click", "time": "2026-01-01T10:00:00Z"}
USERS = [
    {"user_id": "cold", "attributes": {"age": 24, "job": "student", "likes": ["war", "noir"]}},
    {"user_id": "u", "time": "2026-01-02T00:00:00Z", "attributes": {"age": 31}},
]
JOB = Attribute("job", "user", kind="category", values=("student",))
LIKES, GENRE = (
    Attribute("likes", "user", kind="categories", buckets=8),
    Attribute("genre", "item", kind="categories", buckets=8),
)
CONFIG = FeatureConfig(
    attributes=(
        JOB,
        Attribute("age", "user", default=-1.0),
        LIKES,
        GENRE,
        Attribute("hour", "context"),
        Attribute("weather", "context", kind="category", values=("sun", "rain")),
    )
)


def imported(directory: Path, **tables: list[dict[str, Any]]) -> DatasetReader:
    for name, rows in {"events": [EVENT], **tables}.items():
        (directory / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    import_dataset("jsonl", directory / "out", source=directory)
    return DatasetReader(directory / "out")


def problems(directory: Path, **tables: list[dict[str, Any]]) -> list[str]:
    with pytest.raises(DatasetError) as caught:
        imported(directory, **tables)
    return [str(problem) for problem in caught.value.problems]


def test_users_are_a_table_of_their_own(tmp_path: Path) -> None:
    """With or without events; without a time, valid from the first event."""
    users = load_history(imported(tmp_path, users=USERS), CONFIG).users
    assert (["cold", "u"], 24.0 * 3600 - 10 * 3600) == (users.user.tolist(), np.ptp(users.time_s))
    assert [[24.0], [31.0]] == users.attributes.tolist()
    given = [{"job": ["student"], "likes": ["war", "noir"]}, {}]
    np.testing.assert_array_equal([category_keys([JOB, LIKES], each) for each in given], users.category_keys)


def test_a_data_set_without_users_has_none(tmp_path: Path) -> None:
    """So has one that was imported before there was such a table."""
    reader = imported(tmp_path)
    assert 0 == len(load_history(reader, CONFIG).users)
    (reader.path / "users.parquet").unlink()
    older = DatasetReader(reader.path)
    assert (0, 0) == (older.rows("users"), len(load_history(older, CONFIG).users))
    older.check_contract(2e9)


def test_another_import_replaces_the_users(tmp_path: Path) -> None:
    """Attributes of an earlier import do not remain."""
    imported(tmp_path, users=USERS)
    assert 0 == imported(tmp_path, users=[]).rows("users")


def test_categories_of_items_and_context_are_moved_to_their_columns(tmp_path: Path) -> None:
    """From JSON; numbers stay where they are."""
    item = {"item_id": "i", "title": "Heat", "attributes": {"minutes": 170, "genre": ["crime", "drama"]}}
    event = {**EVENT, "type": "impression", "label": 1, "split": "train", "context": {"hour": 20, "weather": "rain"}}
    reader = imported(tmp_path, events=[event], items=[item])
    (row,) = reader.table("items").to_pylist()
    assert [("minutes", 170.0)] == row["attributes"]
    assert [("genre", ["crime", "drama"])] == row["category_attributes"]
    history = load_history(reader, CONFIG)
    assert {"genre": ["crime", "drama"]} == history.items[0][1].category_attributes
    assert [[20.0, 0.0, 1.0, 0.0]] == history.requests.context.tolist()


def test_parquet_may_hold_structs_or_maps(tmp_path: Path) -> None:
    """As other tools write them."""
    rows = [{"user_id": "a", "attributes": {"age": 5.0, "job": "student", "likes": ["war"]}}]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "users-0.parquet")
    maps = pa.table(
        {
            "user_id": ["b"],
            "attributes": pa.array([[("age", 6.0)]], pa.map_(pa.string(), pa.float64())),
            "category_attributes": pa.array([[("likes", ["war"])]], pa.map_(pa.string(), pa.list_(pa.string()))),
        }
    )
    pq.write_table(maps, tmp_path / "users-1.parquet")
    users = load_history(imported(tmp_path), CONFIG).users
    assert [[5.0], [6.0]] == users.attributes.tolist()
    assert (users.category_keys[0, 32:] == users.category_keys[1, 32:]).all()


@pytest.mark.parametrize(
    ("attributes", "reason"),
    [
        ({"job": True}, "column attributes: True is not a number"),
        ({"likes": ["war", 3]}, "column category_attributes: likes: ['war', 3] is neither a text nor a list of texts"),
        ({"job": ""}, "column category_attributes: ['job'][0] is empty"),
        ({"job": "x" * 129}, "column category_attributes: ['job'][0] is 129 bytes long, at most 128"),
        ({"likes": ["x"] * 33}, "column category_attributes: ['likes'] has 33 values, at most 32"),
        ({"age": float("inf")}, "column attributes: holds a value that is not finite"),
    ],
)
def test_bad_attributes_are_refused_with_their_place(tmp_path: Path, attributes: dict[str, Any], reason: str) -> None:
    """By the rules of the gateway."""
    assert [f"users.jsonl:1, {reason}"] == problems(tmp_path, users=[{"user_id": "u", "attributes": attributes}])


@pytest.mark.parametrize(
    ("attributes", "reason"),
    [
        (
            {"age": "24"},
            "users: column attributes has texts for 'age', which features.attributes declares with kind number",
        ),
        (
            {"job": 3},
            "users: column attributes has numbers for 'job', which features.attributes declares with kind category",
        ),
        ({"job": ["a", "b"]}, "users row 1: column attributes has several values for 'job'"),
    ],
)
def test_another_kind_than_declared_is_an_error(tmp_path: Path, attributes: dict[str, Any], reason: str) -> None:
    """Not a default: all values of the attribute would be missing."""
    reader = imported(tmp_path, users=[{"user_id": "u", "attributes": attributes}])
    with pytest.raises(DatasetError, match=reason):
        load_history(reader, CONFIG)


def test_attributes_of_erased_users_are_not_read(tmp_path: Path) -> None:
    """Up to the time of the erasure; the file keeps its rows."""
    reader = imported(tmp_path, users=USERS)
    add_erasure(reader.path, "u", 1_800_000_000.0)
    assert ["cold"] == load_history(DatasetReader(reader.path), CONFIG).users.user.tolist()


def test_csv_has_a_column_per_attribute(tmp_path: Path) -> None:
    """Numbers in `attributes.x`, texts and lists in `category_attributes.x`, or an object as JSON."""
    (tmp_path / "users-0.csv").write_text(
        "user_id,attributes.age,category_attributes.job,category_attributes.likes\na,24,student,war|noir\nb,,,\n"
    )
    (tmp_path / "users-1.csv").write_text('user_id,attributes\nc,"{""age"": 5, ""likes"": [""war""]}"\n')
    reader = imported(tmp_path)
    rows = {row["user_id"]: row for row in reader.table("users").to_pylist()}
    assert {"job": ["student"], "likes": ["war", "noir"]} == dict(rows["a"]["category_attributes"])
    assert ([("age", 24.0)], [("age", 5.0)]) == (rows["a"]["attributes"], rows["c"]["attributes"])
    assert [[24.0], [-1.0], [5.0]] == load_history(reader, CONFIG).users.attributes.tolist()


def test_a_text_in_a_column_of_numbers_says_where_texts_go(tmp_path: Path) -> None:
    """With line and column."""
    (tmp_path / "users.csv").write_text("user_id,attributes.job\na,student\n")
    reason = "'student' is not a number; texts are read as category_attributes.job"
    assert [f"users.csv:2, column attributes.job: {reason}"] == problems(tmp_path)
