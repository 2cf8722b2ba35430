"""Files as the settings list them: each with its columns, for one table or several."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from export.datasets.errors import DatasetError
from export.datasets.jsonl import load_jsonl
from export.datasets.own_files import MADE_TIMES
from export.datasets.scenario_groups import group_names
from export.datasets.tables import Dataset
from services.settings.source import SourceSettings

EVENTS = {"user_id": "user", "item_id": "film", "time": "at", "scenario_id": "device"}
WIDE = """user,film,at,device,name,year,clicked
1,7,2026-01-01T10:00:00Z,tv,Heat,1995,0
1,8,2026-01-01T11:00:00Z,phone,Up,2009,1
2,7,2026-01-01T12:00:00Z,tv,Heat (late),1995,1
"""


def load(directory: Path, files: dict[str, tuple[str, dict[str, Any]]], **settings: Any) -> Dataset:
    listed = []
    for name, (text, tables) in files.items():
        (directory / name).write_text(text)
        listed.append({"path": str(directory / name), **tables})
    return load_jsonl(reading=SourceSettings.model_validate({"files": listed, **settings}))


def test_a_wide_table_is_events_and_items(tmp_path: Path) -> None:
    """The first row of an item describes it; labels are kept, and what was done follows as an event."""
    tables = {
        "events": EVENTS | {"label": "clicked"},
        "items": {"item_id": "film", "title": "name", "attributes": {"year": "year"}},
        "values": {"type": "impression"},
    }
    dataset = load(tmp_path, {"log.csv": (WIDE, tables)}, positive_event="click")
    events = dataset.events.to_pylist()
    assert [("impression", 0), ("impression", 1), ("click", None), ("impression", 1), ("click", None)] == [
        (row["type"], row["label"]) for row in events
    ]
    assert 0.001 == (events[2]["time"] - events[1]["time"]).total_seconds()
    items = {row["item_id"]: (row["title"], row["attributes"]) for row in dataset.items.to_pylist()}
    assert {"7": ("Heat", [("year", 1995.0)]), "8": ("Up", [("year", 2009.0)])} == items
    assert "2 rows have label 1: each is followed by a click, a millisecond later" in dataset.warnings
    texts = {row["scenario_id"]: row["description"] for row in dataset.scenarios.to_pylist()}
    assert {"tv": "device: tv", "phone": "device: phone"} == texts


def test_several_columns_make_one_id(tmp_path: Path) -> None:
    tables = {"events": EVENTS | {"user_id": ["user", "device"]}, "values": {"type": "click"}}
    dataset = load(tmp_path, {"log.csv": (WIDE, tables)})
    assert ["1/tv", "1/phone", "2/tv"] == dataset.events["user_id"].to_pylist()


def test_users_may_be_grouped_into_scenarios(tmp_path: Path) -> None:
    """By a column of the file that describes them, numbers by bounds; a user without a group is named."""
    events = {name: column for name, column in EVENTS.items() if name != "scenario_id"}
    files = {
        "log.csv": (WIDE, {"events": events, "values": {"type": "click"}}),
        "people.csv": ("id;age\n1;24\n2;35\n", {"users": {"user_id": "id"}}),
    }
    grouped = {"scenario_of_user": "age", "scenario_bounds": (25, 35)}
    dataset = load(tmp_path, files, **grouped)
    assert ["age under 25", "age under 25", "age 35 and more"] == dataset.events["scenario_id"].to_pylist()
    files["people.csv"] = ("id;age\n1;24\n", files["people.csv"][1])
    with pytest.raises(DatasetError, match=r"log.csv:4, column scenario_id: no file says age of user '2'"):
        load(tmp_path, files, **grouped)
    with pytest.raises(DatasetError, match=r"source\.scenario_of_user: no file of users has a column town"):
        load(tmp_path, files, scenario_of_user="town")


def test_users_of_groups_are_those_of_events_as_their_file_writes_them(tmp_path: Path) -> None:
    """With spaces, as pandas writes numbers, or of several columns; one without a value has no group."""
    events = {name: column for name, column in EVENTS.items() if name != "scenario_id"}
    files = {
        "log.csv": (WIDE, {"events": events, "values": {"type": "click"}}),
        "people.csv": ("id;town\n1.0; Rome\n2.0;Oslo \n3.0;Bonn\n", {"users": {"user_id": "id"}}),
    }
    dataset = load(tmp_path, files, scenario_of_user="town")
    assert ["Rome", "Rome", "Oslo"] == dataset.events["scenario_id"].to_pylist()
    people = "id;town\n1;Rome\n2;NaN\n2;\n3;Bonn\n"
    with pytest.raises(DatasetError, match=r"log.csv:4, column scenario_id: no file says town of user '2'"):
        load(tmp_path, {**files, "people.csv": (people, files["people.csv"][1])}, scenario_of_user="town")
    several = {
        "log.csv": (
            WIDE.replace("1,7,", ",7,"),
            {**files["log.csv"][1], "events": events | {"user_id": ["user", "at"]}},
        ),
        "people.csv": (
            "a;b;town\n;2026-01-01T10:00:00Z;Rome\n1;2026-01-01T11:00:00Z;Oslo\n2;2026-01-01T12:00:00Z;Bonn\n",
            {"users": {"user_id": ["a", "b"]}},
        ),
    }
    dataset = load(tmp_path, several, scenario_of_user="town")
    assert ["Rome", "Oslo", "Bonn"] == dataset.events["scenario_id"].to_pylist()


def test_groups_of_json_may_be_numbers_and_null(tmp_path: Path) -> None:
    """Whole numbers without a point; an event of a user whose group is null is refused."""
    events = {name: column for name, column in EVENTS.items() if name != "scenario_id"}
    ages = [{"id": 1, "age": 24.0}, {"id": 1.0, "age": 30}, {"id": 2, "age": 35.5}]
    files = {
        "log.csv": (WIDE, {"events": events, "values": {"type": "click"}}),
        "people.jsonl": ("".join(json.dumps(row) + "\n" for row in ages), {"users": {"user_id": "id"}}),
    }
    dataset = load(tmp_path, files, scenario_of_user="age")
    assert ["24", "24", "35.5"] == dataset.events["scenario_id"].to_pylist()
    files["people.jsonl"] = (files["people.jsonl"][0].replace("35.5", "null"), files["people.jsonl"][1])
    with pytest.raises(DatasetError, match=r"log.csv:4, column scenario_id: no file says age of user '2'"):
        load(tmp_path, files, scenario_of_user="age")


def test_numbers_of_a_column_may_be_cut_into_scenarios(tmp_path: Path) -> None:
    tables = {"events": EVENTS | {"scenario_id": "year"}, "values": {"type": "click"}}
    dataset = load(tmp_path, {"log.csv": (WIDE, tables)}, scenario_bounds=(2000.0,))
    assert ["year under 2000", "year 2000 and more", "year under 2000"] == dataset.events["scenario_id"].to_pylist()
    assert ["a under 1", "a 1 to below 2.5", "a 2.5 and more"] == group_names("a", (1.0, 2.5))


def test_rows_without_times_keep_their_order(tmp_path: Path) -> None:
    """A second apart; a warning says so."""
    columns = {name: column for name, column in EVENTS.items() if name != "time"}
    tables = {"events": columns, "values": {"type": "click"}}
    dataset = load(tmp_path, {"log.csv": (WIDE, tables)}, time_unit="order")
    assert [0, 1, 2] == [time.second for time in dataset.events["time"].to_pylist()]
    assert MADE_TIMES in dataset.warnings


def test_values_of_a_file_are_those_of_its_rows(tmp_path: Path) -> None:
    """As where train and test are files of their own."""
    tables = {"events": EVENTS | {"label": "clicked"}, "values": {"type": "impression", "split": "train"}}
    later = WIDE.replace("2026-01-01", "2026-02-01")
    files = {
        "train.csv": (WIDE, tables),
        "test.csv": (later, {**tables, "values": {**tables["values"], "split": "test"}}),
    }
    assert ["train"] * 3 + ["test"] * 3 == load(tmp_path, files).events["split"].to_pylist()


@pytest.mark.parametrize(
    ("tables", "problem"),
    [
        (
            {"events": EVENTS | {"item_id": "movie"}, "values": {"type": "click"}},
            "column item_id: is mapped to movie, which is not there; the columns are user, film",
        ),
        ({"events": EVENTS}, "column type: is not there"),
        ({"items": {"item_id": "film"}}, "source.files: no file has events"),
    ],
)
def test_what_is_missing_is_named(tmp_path: Path, tables: dict[str, Any], problem: str) -> None:
    with pytest.raises(DatasetError) as caught:
        load(tmp_path, {"log.csv": (WIDE, tables)})
    assert problem in str(caught.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"source.files: .*gone.csv is not a file"):
        load_jsonl(reading=SourceSettings.model_validate({"files": [{"path": str(tmp_path / "gone.csv")}]}))


@pytest.mark.parametrize(
    ("settings", "given", "named"),
    [
        (
            {"columns": {"user_id": "user", "item_id": ("film", "device")}},
            (),
            "--map user_id=user, --map item_id=film/device",
        ),
        ({}, ("items", "users"), "--items, --users"),
        ({"columns": {"title": "name"}}, ("scenarios",), "--map title=name, --scenarios"),
    ],
)
def test_what_files_of_the_settings_do_not_use_is_refused(
    tmp_path: Path, settings: dict[str, Any], given: tuple[str, ...], named: str
) -> None:
    """Their columns stand with each file, and they are all that is read."""
    (tmp_path / "log.csv").write_text(WIDE)
    files = [{"path": str(tmp_path / "log.csv"), "events": EVENTS, "values": {"type": "click"}}]
    paths: dict[str, Any] = {name: tmp_path / f"{name}.csv" for name in given}
    with pytest.raises(DatasetError, match=rf"^source\.files: {re.escape(named)} would not be used"):
        load_jsonl(reading=SourceSettings.model_validate({"files": files, **settings}), **paths)


def test_mapped_columns_of_other_files_than_those_of_the_settings_are_checked(tmp_path: Path) -> None:
    (tmp_path / "events.csv").write_text(WIDE.replace("user,film,at,device", ",".join(EVENTS)))
    reading = {
        "files": [{"path": "log.csv", "events": EVENTS}],
        "columns": {"title": "nome"},
        "values": {"type": "click"},
    }
    with pytest.raises(DatasetError, match="--map title=nome: no file has a column nome"):
        load_jsonl(source=tmp_path, reading=SourceSettings.model_validate(reading))


def test_rows_of_a_type_without_a_name_are_left_out(tmp_path: Path) -> None:
    """And their number is said; the others keep their lines."""
    text = "user,film,at,what\n1,7,2026-01-01T10:00:00Z,hide\n1,8,2026-01-01T11:00:00Z,view\n"
    tables = {"events": {"user_id": "user", "item_id": "film", "time": "at", "type": "what"}}
    settings = {"types": {"view": "click", "hide": ""}, "values": {"scenario_id": "all"}}
    dataset = load(tmp_path, {"log.csv": (text, tables)}, **settings)
    assert [("8", "click")] == [(row["item_id"], row["type"]) for row in dataset.events.to_pylist()]
    assert "1 events are left out, as source.types says" in dataset.warnings
    with pytest.raises(DatasetError, match=r"log.csv:3, column user_id: is missing"):
        load(tmp_path, {"log.csv": (text.replace("1,8", ",8"), tables)}, **settings)


def test_texts_of_parquet_and_json_are_taken_as_those_of_csv_where_names_are_mapped(tmp_path: Path) -> None:
    """Numbers in texts, lists in texts, numbers as categories."""
    lines = [{"user": 1, "film": 7.0, "at": "881250949", "stars": "4.5", "genre": "crime|film", "tag": 5}]
    text = "".join(json.dumps(row) + "\n" for row in lines)
    tables = {
        "events": {"user_id": "user", "item_id": "film", "time": "at", "value": "stars"},
        "items": {"item_id": "film", "categories": "genre", "title": "tag"},
        "values": {"type": "rating", "scenario_id": "all"},
    }
    dataset = load(tmp_path, {"log.jsonl": (text, tables)})
    (event,), (item,) = dataset.events.to_pylist(), dataset.items.to_pylist()
    assert ("7", 4.5, 1997) == (event["item_id"], event["value"], event["time"].year)
    assert (["crime", "film"], "5") == (item["categories"], item["title"])
