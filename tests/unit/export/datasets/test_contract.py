"""The contract's rules on data sets: what the gateway refuses, import, check and backfill refuse, and nothing else."""

import json
import math
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from crossrec.events.v1.events_pb2 import BehaviorEvent, Entry, EventType, ItemUpdate, ScenarioUpdate
from export.datasets.contract import find_contract_problems
from export.datasets.errors import DatasetError
from export.datasets.jsonl import load_jsonl
from export.datasets.registry import import_dataset
from export.datasets.storage import DatasetReader
from export.datasets.tables import EVENTS, ITEMS, SCENARIOS, from_columns
from services.events.validation import find_violation
from services.features.config import FeatureConfig

NOW_S = 1_790_000_000
LATEST_S = NOW_S + 300.0
IDS = ["i", "007", "é", "e\u0301", "a\u00a0b", "x" * 128, "x" * 129, "й" * 65, "a\n", "\0", "\x1f", "\u202e", "\u2028"]
TEXTS = ["", "x", "a\nb", "й" * 128, "й" * 129, "x" * 512, "x" * 1024, "x" * 1025, "x" * 4096, "x" * 4097]
LONG_TEXTS = [*TEXTS, "x" * 16_384, "x" * 16_385]
NUMBERS = [0.0, -0.0, 5.5, 1e9, -1e9, 1.0000001e9, 1e308, -1.0]
TIMES = [315_532_799, 315_532_800, NOW_S, NOW_S + 300, NOW_S + 301, 10**10]
CATEGORIES = [[], ["a"], ["a"] * 8, ["a"] * 9, ["x" * 256], ["a", "x" * 257], ["a\x1fb"], ["a\nb"]]

EVENT = {"event_id": "e", "user_id": "u", "scenario_id": "s", "item_id": "i", "type": "click", "time": NOW_S}
ITEM = {"item_id": "i", "time": NOW_S, "title": "t", "categories": [], "attributes": []}
SCENARIO = {"scenario_id": "s", "time": NOW_S, "name": "n", "description": "d"}


def event_entry(row: dict[str, Any]) -> Entry:
    event = BehaviorEvent(
        event_id=row["event_id"],
        user_id=row["user_id"],
        scenario_id=row["scenario_id"],
        item_id=row["item_id"],
        type=EventType.Value(f"EVENT_TYPE_{row['type'].upper()}"),
        text=row.get("text") or "",
    )
    event.time.seconds = row["time"]
    if row.get("value") is not None:
        event.value = row["value"]
    return Entry(behavior_event=event)


def item_entry(row: dict[str, Any]) -> Entry:
    update = ItemUpdate(event_id="e", categories=row["categories"])
    update.time.seconds = row["time"]
    for name in ("item_id", "title", "description", "brand", "price"):
        if row.get(name) is not None:
            setattr(update, name, row[name])
    return Entry(item_update=update)


def scenario_entry(row: dict[str, Any]) -> Entry:
    update = ScenarioUpdate(
        event_id="e", scenario_id=row["scenario_id"], name=row["name"], description=row["description"]
    )
    update.time.seconds = row["time"]
    return Entry(scenario_update=update)


CASES: list[tuple[Any, dict[str, Any], Callable[[dict[str, Any]], Entry], dict[str, list[Any]]]] = [
    (
        EVENTS,
        EVENT,
        event_entry,
        dict.fromkeys(("event_id", "user_id", "scenario_id", "item_id"), IDS)
        | {"value": NUMBERS, "text": TEXTS, "time": TIMES, "type": ["purchase", "comment", "rating"]},
    ),
    (
        ITEMS,
        ITEM,
        item_entry,
        {"item_id": IDS, "title": TEXTS, "description": LONG_TEXTS, "brand": TEXTS, "price": NUMBERS, "time": TIMES}
        | {"categories": CATEGORIES},
    ),
    (
        SCENARIOS,
        SCENARIO,
        scenario_entry,
        {"scenario_id": IDS, "name": TEXTS, "description": LONG_TEXTS, "time": TIMES},
    ),
]


def table_of(spec: Any, rows: list[dict[str, Any]]) -> pa.Table:
    columns = {column.name: [row.get(column.name) for row in rows] for column in spec.columns if column.name != "time"}
    times = pa.array([row["time"] * 1000 for row in rows], pa.int64()).cast(spec.column("time").type)
    return from_columns(spec, {**columns, "time": times}, len(rows))


@pytest.mark.parametrize(("spec", "base", "entry", "values"), CASES, ids=["events", "items", "scenarios"])
def test_a_data_set_may_hold_exactly_what_the_gateway_takes(
    spec: Any, base: dict[str, Any], entry: Callable[[dict[str, Any]], Entry], values: dict[str, list[Any]]
) -> None:
    """For values at and beyond every bound, in every column, with the same reason."""
    rows = [{**base, column: value} for column, of in values.items() for value in of]
    rows += (
        [{**base, "type": "comment", "text": "x"}, {**base, "type": "rating", "value": 3.0}] if "type" in base else []
    )
    found: dict[int, list[tuple[str, str]]] = {}
    for problem in find_contract_problems(spec.name, table_of(spec, rows), lambda _, row: str(row), LATEST_S):
        found.setdefault(int(problem.place), []).append((problem.column, problem.reason))
    seen = {True: 0, False: 0}
    for number, row in enumerate(rows):
        expected = find_violation(entry(row), FeatureConfig(), NOW_S, 300.0)
        # What this table's other rules say: texts and values that a type needs.
        if expected and expected.reason.startswith(("is empty; required", "is not set; required")):
            continue
        assert (expected is None) == (number not in found), (row, expected, found.get(number))
        seen[expected is None] += 1
        if expected and not expected.field.endswith("]"):
            field = expected.field.partition(".")[2]
            assert any(field == column and reason in expected.reason for column, reason in found[number])
    assert min(seen.values()) >= 5


def write(directory: Path, **tables: list[dict[str, Any]]) -> Path:
    directory.mkdir(exist_ok=True)
    for name, rows in tables.items():
        (directory / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return directory


def in_json(row: dict[str, Any]) -> dict[str, Any]:
    return {**row, "time": row["time"] * 1000, **({"attributes": {}} if "attributes" in row else {})}


@pytest.mark.parametrize(
    ("table", "change", "problem"),
    [
        ("events", {"user_id": "u" * 200}, "events.jsonl:2, column user_id: is 200 bytes long, at most 128"),
        ("events", {"item_id": "f1\x1ftv"}, "events.jsonl:2, column item_id: holds a control character, U+001F"),
        ("events", {"value": 1e308}, "events.jsonl:2, column value: is 1e+308, must be from -1e+09 to 1e+09"),
        ("events", {"type": "rating"}, "events.jsonl:2, column value: is missing; a rating needs one"),
        ("events", {"time": 300_000_000}, "events.jsonl:2, column time: is before 1980"),
        ("events", {"time": NOW_S + 400}, "events.jsonl:2, column time: is 100.000 s beyond the tolerated future"),
        ("items", {"price": 1e308}, "items.jsonl:2, column price: is 1e+308, must be from 0 to 1e+09"),
        ("items", {"categories": ["a", "b\x1fc"]}, "items.jsonl:2, column categories: [1] holds the separator of keys"),
        ("scenarios", {"name": "x" * 1025}, "scenarios.jsonl:2, column name: is 1025 bytes long, at most 1024"),
    ],
)
def test_import_and_check_name_file_line_and_column(
    tmp_path: Path, table: str, change: dict[str, Any], problem: str
) -> None:
    """Nothing is written."""
    rows = {"events": [EVENT], "items": [ITEM], "scenarios": [SCENARIO]}
    key = {"events": "event_id", "items": "item_id", "scenarios": "scenario_id"}[table]
    rows[table] = [rows[table][0], {**rows[table][0], key: "other", **change}]
    source = write(tmp_path / "source", **{name: [in_json(row) for row in of] for name, of in rows.items()})
    with pytest.raises(DatasetError) as caught:
        import_dataset("jsonl", tmp_path / "out", source=source, latest_s=LATEST_S)
    assert any(str(found).startswith(problem) for found in caught.value.problems), caught.value
    assert not (tmp_path / "out").exists()


def test_an_erasure_may_name_any_stored_user(tmp_path: Path) -> None:
    """Rows may be older than the rules of ids."""
    erased = [{"user_id": name, "time": NOW_S * 1000} for name in ("u\n", "u" * 500)]
    source = write(tmp_path, events=[in_json(EVENT)], erasures=erased)
    assert 2 == load_jsonl(source=source).erasures.num_rows


def test_ids_of_derived_candidates_may_be_longer(tmp_path: Path) -> None:
    """They hold the id of their event, and are never streamed."""
    candidate = {**in_json(EVENT), "type": "candidate", "event_id": "label/" + "x" * 128, "label": 1, "split": "train"}
    source = write(tmp_path, events=[in_json(EVENT), {**candidate, "request_id": "r"}])
    assert 2 == load_jsonl(source=source).events.num_rows


def test_an_import_from_before_the_rules_is_refused_with_file_and_row(tmp_path: Path) -> None:
    """By backfill and check, which read it; the rows count from 1."""
    source = write(tmp_path / "source", events=[in_json({**EVENT, "event_id": str(n)}) for n in range(3)])
    import_dataset("jsonl", tmp_path / "out", source=source)
    file = tmp_path / "out" / "events.parquet"
    table = pq.read_table(file)
    users = pa.array(["u", "u" * 200, "u\0"], table["user_id"].type)
    pq.write_table(
        table.set_column(table.schema.get_field_index("user_id"), table.schema.field("user_id"), users), file
    )
    with pytest.raises(DatasetError) as caught:
        DatasetReader(tmp_path / "out").check_contract(math.inf)
    assert [
        f"{file} row 2, column user_id: is 200 bytes long, at most 128",
        f"{file} row 3, column user_id: holds a control character, U+0000, after 1 characters; an id must not",
    ] == [str(problem) for problem in caught.value.problems]


def test_history_of_any_age_is_taken(tmp_path: Path) -> None:
    """The gateway refuses old events, because they would count nearly nothing; a history has them."""
    source = write(tmp_path, events=[in_json({**EVENT, "time": 400_000_000})])
    assert [datetime(1982, 9, 4, 15, 6, 40, tzinfo=UTC)] == load_jsonl(source=source).events["time"].to_pylist()
