"""The three tables: rules, order and storage."""

import errno
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from export.datasets.errors import DatasetError
from export.datasets.storage import DatasetReader, write_dataset
from export.datasets.tables import (
    EVENTS,
    ITEMS,
    SCENARIOS,
    TABLES,
    Dataset,
    columns_markdown,
    from_columns,
    sort_events,
)
from export.datasets.validation import validate_dataset, validate_order

T0 = datetime(2026, 1, 1, tzinfo=UTC)
EVENT = {"event_id": "e1", "user_id": "u", "scenario_id": "s", "item_id": "i", "type": "click", "time": T0}
CANDIDATE = {**EVENT, "type": "candidate", "label": 1, "split": "train", "request_id": "r"}
ITEM = {"item_id": "i", "time": T0, "title": "tea", "categories": ["drinks"], "attributes": [("weight", 1.0)]}
SCENARIO = {"scenario_id": "s", "time": T0, "name": "shelf", "description": "a shelf"}


def dataset(
    events: list[dict[str, Any]] | None = None,
    items: list[dict[str, Any]] | None = None,
    scenarios: list[dict[str, Any]] | None = None,
) -> Dataset:
    rows = (events or [EVENT], items or [ITEM], scenarios or [SCENARIO])
    tables = [
        from_columns(spec, {c.name: [r.get(c.name) for r in table] for c in spec.columns}, len(table))
        for spec, table in zip(TABLES, rows, strict=True)
    ]
    return Dataset(*tables)


def list_problems(broken: Dataset) -> list[str]:
    with pytest.raises(DatasetError) as caught:
        validate_dataset(broken)
    return [str(problem) for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"user_id": None}, "column user_id: is missing"),
        ({"user_id": ""}, "column user_id: is empty"),
        ({"type": "view"}, "column type: is none of impression, click,"),
        ({"item_id": None}, "column item_id: is missing; only a query has no item"),
        ({"type": "query", "text": "tea"}, "column item_id: must be null for a query"),
        ({"type": "query", "item_id": None}, "column text: is missing; a query or comment needs one"),
        ({"value": float("nan")}, "column value: is not a finite number"),
        (
            {"label": 1, "split": "train"},
            "column label: is set on an action. Only rows of type impression and candidate carry labels",
        ),
        ({"type": "impression", "label": 2, "split": "train"}, "column label: is neither 0 nor 1"),
        ({"type": "impression", "label": 1}, "column split: is missing; a labelled row needs one"),
        ({"type": "impression", "split": "train"}, "column split: is set on a row without a label"),
        ({"type": "impression", "label": 1, "split": "dev"}, "column split: is none of train,"),
        ({"type": "candidate", "request_id": "r"}, "column label: is missing; a candidate needs one"),
        (
            {"type": "candidate", "request_id": "r", "label": 1, "split": "test", "sampling": "uniform"},
            "column sampling: is set on a row that is no negative (label 0)",
        ),
        (
            {"type": "candidate", "request_id": "r", "label": 0, "split": "test", "sampling": "hard"},
            "column sampling: is none of uniform, popularity",
        ),
        ({"item_id": "j"}, "column item_id: is not in the items table"),
        ({"scenario_id": "z"}, "column scenario_id: is not in the scenarios table"),
    ],
)
def test_broken_event_is_named(change: dict[str, Any], problem: str) -> None:
    """Every rule names table, row, column and reason, and nothing else is reported."""
    (line,) = list_problems(dataset(events=[EVENT, {**EVENT, "event_id": "e2", **change}]))
    assert line.startswith(f"events row 1, {problem}")


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"title": None}, "column title: is missing"),
        ({"categories": ["drinks", ""]}, "column categories: holds an empty name"),
        ({"attributes": [("weight", float("inf"))]}, "column attributes: holds a value that is not finite"),
        ({"price": -1.0}, "column price: is -1.0, must be from 0 to 1e+09"),
        ({"scenario_id": "s"}, "column categories: must be empty where scenario_id is set"),
        ({}, "column item_id + scenario_id + time: occurs in an earlier row"),
    ],
)
def test_broken_item_is_named(change: dict[str, Any], problem: str) -> None:
    """Item rules look into lists and maps too."""
    time = T0 if not change else datetime(2026, 1, 2, tzinfo=UTC)
    assert f"items row 1, {problem}" in list_problems(dataset(items=[ITEM, {**ITEM, "time": time, **change}]))


def test_list_rules_work_on_slices() -> None:
    """A broken element is found in its own row also when the table is a slice of a larger one."""
    items = [{**ITEM, "item_id": str(n), "categories": ["a", "" if n == 2 else "b"]} for n in range(4)]
    whole = dataset(items=[ITEM, *items])
    part = Dataset(whole.events, pa.concat_tables([whole.items.slice(0, 2), whole.items.slice(2)]), whole.scenarios)
    assert ["items row 3, column categories: holds an empty name"] == list_problems(part)


def test_repeated_event_id_is_named() -> None:
    """An event id must be unique."""
    assert ["events row 1, column event_id: occurs in an earlier row"] == list_problems(dataset([EVENT, EVENT]))


def test_message_lists_twenty_problems_and_counts_the_rest() -> None:
    """A completely broken table gives a readable message."""
    with pytest.raises(DatasetError) as caught:
        validate_dataset(dataset([{**EVENT, "event_id": str(n), "user_id": ""} for n in range(25)]))
    lines = str(caught.value).splitlines()
    assert ("25 problems in the data set", 22, "  ... and 5 more") == (lines[0], len(lines), lines[-1])


def test_events_sort_by_time_then_candidates_first() -> None:
    """At one instant candidates come before impressions, those before actions; otherwise order is kept."""
    early = {**EVENT, "time": datetime(2025, 1, 1, tzinfo=UTC)}
    kinds = [EVENT, {**EVENT, "type": "impression"}, CANDIDATE, early, {**EVENT, "type": "purchase"}]
    rows = [{**row, "event_id": str(n)} for n, row in enumerate(kinds)]
    events = sort_events(dataset(events=rows).events)
    assert ["3", "2", "1", "0", "4"] == events["event_id"].to_pylist()


def test_unsorted_rows_are_rejected() -> None:
    """A candidate after an action of the same instant would leak it."""
    with pytest.raises(DatasetError, match="events row 1, column time: is out of order"):
        validate_order(dataset(events=[EVENT, {**CANDIDATE, "event_id": "e2"}]))


def test_round_trip(tmp_path: Path) -> None:
    """What is written is read back equal, as tables and as batches of the wanted size."""
    written = dataset(events=[CANDIDATE, *({**EVENT, "event_id": f"x{n}"} for n in range(9))])
    write_dataset(written, tmp_path / "out", {"adapter": "test"})
    reader = DatasetReader(tmp_path / "out")
    assert written.events.equals(reader.table("events"))
    assert written.items.equals(reader.table("items"))
    assert written.scenarios.equals(reader.table("scenarios"))
    assert [4, 4, 2] == [b.num_rows for b in reader.batches("events", ["user_id"], batch_rows=4)]
    assert (10, "test") == (reader.rows("events"), reader.info["adapter"])
    assert EVENTS.schema.equals(reader.dataset().events.schema)


def test_large_tables_have_row_groups(tmp_path: Path) -> None:
    """Events are cut into row groups, so that a reader can stream them."""
    count = 140_000
    columns = {"event_id": [str(n) for n in range(count)], "time": [T0] * count}
    columns |= {name: [EVENT[name]] * count for name in ("user_id", "scenario_id", "item_id", "type")}
    small = dataset()
    write_dataset(Dataset(from_columns(EVENTS, columns, count), small.items, small.scenarios), tmp_path / "out", {})
    assert 2 == pq.ParquetFile(tmp_path / "out" / "events.parquet").num_row_groups


def test_nothing_is_written_on_error(tmp_path: Path) -> None:
    """A broken data set leaves no directory behind."""
    with pytest.raises(DatasetError):
        write_dataset(dataset([{**EVENT, "user_id": ""}]), tmp_path / "out", {})
    assert [] == list(tmp_path.iterdir())


def test_failed_rewrite_keeps_the_earlier_data(tmp_path: Path) -> None:
    """A data set that fails its checks doesn't touch the one that is there."""
    write_dataset(dataset(), tmp_path / "out", {})
    with pytest.raises(DatasetError):
        write_dataset(dataset([{**EVENT, "user_id": ""}]), tmp_path / "out", {})
    assert 1 == DatasetReader(tmp_path / "out").rows("events")
    assert ["out"] == [p.name for p in tmp_path.iterdir()]


def test_reading_what_is_not_a_data_set_names_the_files(tmp_path: Path) -> None:
    """An empty directory is not a data set."""
    with pytest.raises(DatasetError, match=r"holds no imported data set: events\.parquet, .* missing"):
        DatasetReader(tmp_path)


def test_every_column_is_documented() -> None:
    """The documentation table names every column once."""
    for spec in (EVENTS, ITEMS, SCENARIOS):
        lines = columns_markdown(spec).splitlines()
        assert [c.name for c in spec.columns] == [line.split(" | ")[0].lstrip("| ") for line in lines[2:]]


@pytest.mark.parametrize("name", ["dataset.json", "events.parquet", "items.parquet"])
@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"[1]", b"PAR1" + b"\x00" * 100 + b"PAR1"])
def test_a_damaged_file_of_an_imported_data_set_is_named(tmp_path: Path, name: str, content: bytes) -> None:
    write_dataset(dataset(), tmp_path, {})
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DatasetError, match=f"{tmp_path / name}: cannot be read: .*import the data set again"):
        DatasetReader(tmp_path).dataset()


def test_a_disk_that_takes_no_more_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And nothing is left half written."""

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    write_dataset(dataset(), tmp_path / "out", {"adapter": "test"})
    monkeypatch.setattr(pq, "write_table", full)
    with pytest.raises(DatasetError, match=f"{tmp_path / 'out'}: cannot be written: No space left on device"):
        write_dataset(dataset(), tmp_path / "out", {})
    assert "test" == DatasetReader(tmp_path / "out").info["adapter"]
    assert ["out"] == [path.name for path in tmp_path.iterdir()]
