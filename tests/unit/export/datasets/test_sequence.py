"""Sequence files: the order of each user's items is kept by made times."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from export.datasets.errors import DatasetError
from export.datasets.sequence import load_sequence
from services.settings.source import SourceSettings


def put(directory: Path, text: str = "a 1 2 3\n\nb 3 1\n") -> Path:
    (directory / "Tea.txt").write_text(text)
    return directory / "Tea.txt"


def test_the_order_is_kept_and_all_users_end_together(tmp_path: Path) -> None:
    """A second between two items; the last one of each user is at one time, which a warning names."""
    dataset = load_sequence(source=put(tmp_path))
    rows = {(row["user_id"], row["item_id"]): row["time"] for row in dataset.events.to_pylist()}
    times = [datetime(2000, 1, 1, 0, 0, second, tzinfo=UTC) for second in (1, 2, 3)]
    assert (
        dict(zip([("a", "1"), ("a", "2"), ("a", "3")], times, strict=True))
        | {
            ("b", "3"): times[1],
            ("b", "1"): times[2],
        }
        == rows
    )
    assert "each user's last item is at 2000-01-01 00:00:03 UTC" in dataset.warnings[0]
    assert {("click", "all")} == {(row["type"], row["scenario_id"]) for row in dataset.events.to_pylist()}


def test_categories_stand_beside_the_file(tmp_path: Path) -> None:
    """Names or numbers; more than an item may have are left out."""
    (tmp_path / "Tea_item2attributes.json").write_text(json.dumps({"1": ["tea", "green"], "2": list(range(12))}))
    items = {row["item_id"]: row["categories"] for row in load_sequence(source=put(tmp_path)).items.to_pylist()}
    assert {"1": ["tea", "green"], "2": [str(n) for n in range(8)], "3": []} == items


def test_type_and_scenario_may_be_given(tmp_path: Path) -> None:
    dataset = load_sequence(source=put(tmp_path), reading=SourceSettings(values={"type": "purchase"}))
    assert {"purchase"} == set(dataset.events["type"].to_pylist())


def test_a_directory_with_one_file_is_that_file(tmp_path: Path) -> None:
    put(tmp_path)
    assert 5 == len(load_sequence(source=tmp_path).events)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a 1\nb\n", "Tea.txt:2: 'b' has no items; expected a line for each user"),
        ("a 1\na 2\n", "Tea.txt:2, column user_id: 'a' has line 1 already"),
        ("\n", "is empty; expected a line for each user"),
        (f"{'a' * 129} 1\n", "Tea.txt:1, column user_id: is 129 bytes long, at most 128"),
    ],
)
def test_wrong_lines_are_named(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(DatasetError) as caught:
        load_sequence(source=put(tmp_path, text))
    assert problem in str(caught.value)


@pytest.mark.parametrize(
    ("text", "problem"),
    [("{", "is not JSON"), ("[]", "expected an object"), ('{"1": "tea"}', "column 1: 'tea' is not a list of names")],
)
def test_wrong_categories_are_named(tmp_path: Path, text: str, problem: str) -> None:
    (tmp_path / "Tea_item2attributes.json").write_text(text)
    with pytest.raises(DatasetError) as caught:
        load_sequence(source=put(tmp_path))
    assert problem in str(caught.value)
