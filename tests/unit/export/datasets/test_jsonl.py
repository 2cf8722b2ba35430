"""The project's own format: defaults, accepted spellings, and errors with file, line and column."""

import gzip
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from export.datasets.errors import DatasetError
from export.datasets.jsonl import load_jsonl
from export.datasets.registry import import_dataset
from export.datasets.storage import DatasetReader
from export.datasets.tables import ROW_TYPES, Dataset
from export.datasets.validation import validate_dataset, validate_order
from services.settings.source import SourceSettings

CLICK = {"user_id": "u", "scenario_id": "tv", "item_id": "i", "type": "click", "time": "2026-01-01T10:00:00Z"}
ITEM = {"item_id": "i", "title": "tea", "categories": ["drinks"], "price": 2, "attributes": {"weight": 1}}
SCENARIO = {"scenario_id": "tv", "name": "TV", "description": "on the sofa"}


def put(directory: Path, name: str, rows: list[dict[str, Any]]) -> None:
    (directory / name).write_text("".join(json.dumps(row) + "\n" for row in rows))


def load(directory: Path, events: list[dict[str, Any]], *, described: bool = True) -> Dataset:
    put(directory, "events.jsonl", events)
    if described:
        put(directory, "items.jsonl", [ITEM])
        put(directory, "scenarios.jsonl", [SCENARIO])
    dataset = load_jsonl(source=directory)
    validate_dataset(dataset)
    validate_order(dataset)
    return dataset


def list_problems(directory: Path, events: list[dict[str, Any]]) -> list[str]:
    with pytest.raises(DatasetError) as caught:
        load(directory, events)
    return [str(problem) for problem in caught.value.problems]


def test_times_are_rfc_3339_or_epoch_milliseconds(tmp_path: Path) -> None:
    """Every accepted spelling of an instant gives the same time."""
    same = ["2026-01-01T10:00:00Z", "2026-01-01T11:00:00.000+01:00", 1_767_261_600_000, 1_767_261_600_000.0]
    dataset = load(tmp_path, [{**CLICK, "time": time} for time in same])
    assert [datetime(2026, 1, 1, 10, tzinfo=UTC)] * 4 == dataset.events["time"].to_pylist()


@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [
        ("time", "yesterday", "'yesterday' is neither an RFC 3339 time nor a Unix time"),
        (
            "time",
            "2026-01-01T10:00:00",
            "'2026-01-01T10:00:00' has no time zone; add Z or an offset such as +01:00, or name the zone of all: "
            "--time-zone UTC",
        ),
        ("value", "12", "'12' is not a number"),
        ("value", True, "True is not a number"),
        ("label", 0.5, "0.5 is neither 0 nor 1"),
        ("user_id", 1.5, "1.5 is neither a string nor an integer"),
        ("text", 5, "5 is not a string"),
        ("itemid", "i", "is not a column; did you mean item_id?"),
        ("type", "tap", f"is none of {', '.join(ROW_TYPES)}"),
        ("item_id", None, "is missing; only a query has no item"),
    ],
)
def test_errors_name_file_line_column_and_reason(tmp_path: Path, column: str, value: Any, reason: str) -> None:
    """A cell that cannot be parsed, or breaks a rule, is reported with its line."""
    assert [f"events.jsonl:2, column {column}: {reason}"] == list_problems(tmp_path, [CLICK, {**CLICK, column: value}])


def test_line_numbers_are_those_of_the_file(tmp_path: Path) -> None:
    """Blank lines count, and a line that is not a JSON object is reported."""
    (tmp_path / "events.jsonl").write_text(f"{json.dumps(CLICK)}\n\n[1]\n{{\n")
    with pytest.raises(DatasetError) as caught:
        load_jsonl(source=tmp_path)
    first, second = (str(problem) for problem in caught.value.problems)
    assert "events.jsonl:3: is not a JSON object" == first
    assert second.startswith("events.jsonl:4: is not JSON: ")


def test_rule_errors_name_the_line_in_the_right_part(tmp_path: Path) -> None:
    """With several files the error names the row's own file, whatever the sort order."""
    put(tmp_path, "events-0.jsonl", [{**CLICK, "time": "2026-02-01T10:00:00Z"}] * 3)
    put(tmp_path, "events-1.jsonl", [CLICK, {**CLICK, "user_id": ""}])
    with pytest.raises(DatasetError, match=r"events-1\.jsonl:2, column user_id: is empty"):
        load_jsonl(source=tmp_path)


def test_list_and_map_errors(tmp_path: Path) -> None:
    """Categories are lists of strings; attributes are numbers, texts and lists of texts by name."""
    put(tmp_path, "events.jsonl", [CLICK])
    put(tmp_path, "items.jsonl", [{**ITEM, "categories": "drinks", "attributes": {"weight": True}}])
    with pytest.raises(DatasetError) as caught:
        load_jsonl(source=tmp_path)
    assert [
        "items.jsonl:1, column categories: 'drinks' is not a list of strings",
        "items.jsonl:1, column attributes: True is not a number",
    ] == [str(problem) for problem in caught.value.problems]


def test_events_may_have_a_context(tmp_path: Path) -> None:
    """Named attributes, or nothing; a number that is not finite is reported with its line."""
    dataset = load(tmp_path, [{**CLICK, "context": {"device": 1}}, CLICK])
    assert [[("device", 1.0)], []] == [row or [] for row in dataset.events["context"].to_pylist()]
    assert ["events.jsonl:1, column context: False is not a number"] == list_problems(
        tmp_path, [{**CLICK, "context": {"device": False}}]
    )
    assert ["events.jsonl:2, column context: holds a value that is not finite"] == list_problems(
        tmp_path, [CLICK, {**CLICK, "context": {"device": float("inf")}}]
    )


def test_event_ids_follow_from_content(tmp_path: Path) -> None:
    """Without ids the same file gives the same ids, and equal events differ."""
    events = [CLICK, CLICK, {**CLICK, "user_id": "v"}, {**CLICK, "event_id": "mine"}]
    ids = load(tmp_path, events).events["event_id"].to_pylist()
    assert (ids, 4, f"{ids[0]}-2", "mine") == (
        load(tmp_path, events).events["event_id"].to_pylist(),
        len(set(ids)),
        ids[1],
        ids[3],
    )


def test_integers_are_ids(tmp_path: Path) -> None:
    """Ids exported as numbers need no conversion."""
    dataset = load(tmp_path, [{**CLICK, "user_id": 7}])
    assert ["7"] == dataset.events["user_id"].to_pylist()


def test_splits_follow_time(tmp_path: Path) -> None:
    """Without splits the first 80 % of labelled rows train, the next 10 % validate, the last test."""
    shown = {**CLICK, "type": "impression", "label": 0}
    events = [{**shown, "time": f"2026-01-{day:02}T00:00:00Z"} for day in range(20, 0, -1)]
    dataset = load(tmp_path, [*events, CLICK])
    labelled = [r for r in dataset.events.to_pylist() if r["label"] is not None]
    assert ["train"] * 16 + ["validation"] * 2 + ["test"] * 2 == [r["split"] for r in labelled]
    assert [None] == [r["split"] for r in dataset.events.to_pylist() if r["label"] is None]


def test_a_request_stays_in_one_split(tmp_path: Path) -> None:
    """Rows that were ranked together are split by the request's first time."""
    shown = {**CLICK, "type": "impression", "label": 0}
    events = [{**shown, "time": f"2026-01-{day:02}T00:00:00Z"} for day in range(1, 20)]
    request = [{**shown, "request_id": "r", "time": f"2026-01-{day:02}T00:00:00Z"} for day in (5, 25)]
    dataset = load(tmp_path, events + request)
    assert ["train"] * 2 == [r["split"] for r in dataset.events.to_pylist() if r["request_id"]]


def test_given_splits_are_kept(tmp_path: Path) -> None:
    """A labelled row without a split among others that have one is an error, not a guess."""
    shown = {**CLICK, "type": "impression", "label": 0}
    problems = list_problems(tmp_path, [{**shown, "split": "test"}, shown])
    assert ["events.jsonl:2, column split: is missing; a labelled row needs one"] == problems


def test_no_labels_warns_that_training_needs_them(tmp_path: Path) -> None:
    """Unlabelled history is imported, with a warning about its uses."""
    (warning,) = load(tmp_path, [CLICK]).warnings
    assert "training needs labelled" in warning


def test_undescribed_items_and_scenarios_are_created(tmp_path: Path) -> None:
    """Ids that only events contain get a row without texts, counted in a warning."""
    dataset = load(tmp_path, [CLICK, {**CLICK, "item_id": "j"}], described=False)
    assert ["i", "j"] == dataset.items["item_id"].to_pylist()
    assert ["", ""] == dataset.items["title"].to_pylist()
    assert [("tv", "tv", "")] == [
        (r["scenario_id"], r["name"], r["description"]) for r in dataset.scenarios.to_pylist()
    ]
    assert [
        "2 items are used but not in the items table: created without text, for example i",
        "1 scenarios are used but not in the scenarios table: created without text, for example tv",
    ] == list(dataset.warnings[1:])


def test_item_defaults(tmp_path: Path) -> None:
    """An item without a time applies from the first event on; scenario rows keep attributes only."""
    put(tmp_path, "events.jsonl", [CLICK])
    put(tmp_path, "items.jsonl", [ITEM, {"item_id": "i", "scenario_id": "tv", "attributes": {"rank": 3}}])
    dataset = load_jsonl(source=tmp_path)
    itself, there = dataset.items.to_pylist()
    assert datetime(2026, 1, 1, 10, tzinfo=UTC) == itself["time"]
    assert (2.0, ["drinks"], [("weight", 1.0)]) == (itself["price"], itself["categories"], itself["attributes"])
    assert (None, [], [("rank", 3.0)]) == (there["title"], there["categories"], there["attributes"])


def test_parquet_and_compressed_files(tmp_path: Path) -> None:
    """Parquet rows are numbered, and .jsonl.gz is read."""
    rows = [{**CLICK, "time": datetime(2026, 1, 1, hour, tzinfo=UTC)} for hour in (10, 9)]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "events.parquet")
    with gzip.open(tmp_path / "items.jsonl.gz", "wt") as file:
        file.write(json.dumps(ITEM))
    pq.write_table(pa.Table.from_pylist([SCENARIO]), tmp_path / "scenarios.parquet")
    dataset = load_jsonl(source=tmp_path)
    assert [9, 10] == [time.hour for time in dataset.events["time"].to_pylist()]
    assert ["tea"] == dataset.items["title"].to_pylist()
    pq.write_table(pa.Table.from_pylist([{**row, "user_id": ""} for row in rows]), tmp_path / "events.parquet")
    with pytest.raises(DatasetError, match=r"events\.parquet row 2, column user_id: is empty"):
        load_jsonl(source=tmp_path)


def test_parquet_times_without_a_zone_are_refused_as_those_of_json_are(tmp_path: Path) -> None:
    """Their zone is not known; the setting names one for all."""
    pq.write_table(pa.Table.from_pylist([{**CLICK, "time": datetime(2026, 1, 1, 10)}]), tmp_path / "events.parquet")
    with pytest.raises(
        DatasetError, match=r"events.parquet row 1, column time: '2026-01-01 10:00:00' has no time zone"
    ):
        load_jsonl(source=tmp_path)
    dataset = load_jsonl(source=tmp_path, reading=SourceSettings(time_zone="Europe/Berlin"))
    assert [datetime(2026, 1, 1, 9, tzinfo=UTC)] == dataset.events["time"].to_pylist()


def test_imported_tables_are_a_valid_source(tmp_path: Path) -> None:
    """The tables of an import can be read by the adapter again, unchanged."""
    put(tmp_path, "events.jsonl", [CLICK])
    put(tmp_path, "items.jsonl", [ITEM])
    put(tmp_path, "scenarios.jsonl", [SCENARIO])
    import_dataset("jsonl", tmp_path / "a", source=tmp_path)
    import_dataset("jsonl", tmp_path / "b", source=tmp_path / "a")
    first, second = DatasetReader(tmp_path / "a").dataset(), DatasetReader(tmp_path / "b").dataset()
    assert first.events.equals(second.events)
    assert first.items.equals(second.items)


def test_single_files_take_precedence(tmp_path: Path) -> None:
    """A file given by name is read instead of the directory's."""
    put(tmp_path, "events.jsonl", [CLICK])
    put(tmp_path, "other.jsonl", [{**CLICK, "user_id": "v"}])
    dataset = load_jsonl(source=tmp_path, events=tmp_path / "other.jsonl")
    assert ["v"] == dataset.events["user_id"].to_pylist()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "needs a source directory"),
        ({"source": "."}, "has no events file"),
        ({"source": "nowhere"}, "is not a directory"),
        ({"events": "events.csv"}, r"is not a file that ends in \.jsonl"),
    ],
)
def test_missing_sources_are_an_error(tmp_path: Path, options: dict[str, str], message: str) -> None:
    """Without events there is nothing to import."""
    with pytest.raises(DatasetError, match=message):
        load_jsonl(**{name: tmp_path / value for name, value in options.items()})
