"""The guided start: what it proposes for files as people have them imports without a change."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from export.datasets.errors import DatasetError
from export.datasets.start.describe import find_separator
from export.datasets.start.profile import read_profile
from export.datasets.start.proposal import propose
from export.datasets.start.proposed import Proposal
from export.datasets.start.write import toml_value
from export.datasets.storage import DatasetReader
from services.main import app

Rows = list[dict[str, Any]]
RNG = np.random.default_rng(0)
DAY_S = 86_400


def pick(*words: Any) -> Any:
    return words[int(RNG.integers(len(words)))]


def put_csv(path: Path, rows: Rows, delimiter: str = ",") -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]), delimiter=delimiter)
        writer.writeheader()
        writer.writerows(rows)
    return path


def put_json(path: Path, rows: Rows) -> Path:
    path = path.with_suffix(".jsonl")
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def put_parquet(path: Path, rows: Rows) -> Path:
    path = path.with_suffix(".parquet")
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


def ratings(count: int = 400) -> Rows:
    return [
        {"userId": int(RNG.integers(1, 30)), "movieId": int(RNG.integers(1, 40)), "rating": pick(1, 2, 3, 4, 5),
         "timestamp": 881_250_949 + n * 3600}
        for n in range(count)
    ]  # fmt: skip


def movies() -> Rows:
    return [
        {"movieId": n, "title": f"Film {n}, a story", "genres": f"{pick('Crime', 'Drama')}|{pick('War', 'Comedy')}"}
        for n in range(1, 41)
    ]


def clicks(count: int = 400) -> Rows:
    return [
        {"visitor": f"v{RNG.integers(20)}", "article_id": f"a{n % 25}", "device": pick("mobile", "desktop"),
         "event_time": f"2026-01-{1 + n // 20:02} 10:{n % 60:02}:00", "section": ("sport", "town")[n % 25 % 2],
         "hour": int(RNG.integers(24)), "clicked": int(RNG.random() < 0.3)}
        for n in range(count)
    ]  # fmt: skip


def orders(count: int = 400) -> Rows:
    return [
        {"InvoiceNo": n // 3, "StockCode": f"S{n % 30}", "Description": f"Lamp {n % 30}", "Quantity": pick(1, 2, 6),
         "InvoiceDate": f"{1 + n // 200}/{13 + n % 15}/2010 8:{10 + n % 50}", "UnitPrice": 1.5 + n % 30,
         "CustomerID": f"{12000 + RNG.integers(25)}.0", "Country": pick("France", "Spain")}
        for n in range(count)
    ]  # fmt: skip


def surveys() -> Rows:
    rows = []
    for person in range(60):
        who = {"gender": pick("m", "f"), "income": f"{person % 7}k", "job": f"job {person % 11}"}
        rows += [
            {"destination": pick("home", "work"), "weather": pick("sun", "rain"),
             "coupon": pick("bar", "cafe", "diner"), **who, "Y": pick(0, 1)}
            for _ in range(8)
        ]  # fmt: skip
    return rows


def proposed(*paths: Path, **given: tuple[str, ...]) -> Proposal:
    return propose([read_profile(path) for path in paths], given)


def columns_of(proposal: Proposal, table: str) -> dict[str, str]:
    return {
        target: "+".join(names) for file in proposal.files for target, (names, _) in file.tables.get(table, {}).items()
    }


@pytest.mark.parametrize("put", [put_csv, put_json, put_parquet])
def test_ratings_and_their_films(tmp_path: Path, put: Callable[[Path, Rows], Path]) -> None:
    """In every format: columns by their names, a threshold on the scale, the separator of genres."""
    found = proposed(put(tmp_path / "ratings.csv", ratings()), put(tmp_path / "movies.csv", movies()))
    assert {"user_id": "userId", "item_id": "movieId", "value": "rating", "time": "timestamp"} == columns_of(
        found, "events"
    )
    assert {"item_id": "movieId", "title": "title", "categories": "genres"} == columns_of(found, "items")
    assert (["rating"], "time") == (found.dataset["label_events"][0], found.dataset["split"][0])
    assert {"rating": 4.0} == found.features["liked_from"][0]
    assert "|" == found.source["list_separator"][0]
    assert "all" == found.files[0].values["scenario_id"][0]


@pytest.mark.parametrize(("created_s", "begin"), [(881_000_000, "created"), (881_250_949 + 200 * 3600, None)])
def test_when_items_came(tmp_path: Path, created_s: int, begin: str | None) -> None:
    """A time of items says since when each is there, unless it is later than what users did; it is no feature."""
    films = [{**film, "created": created_s + n} for n, film in enumerate(movies())]
    found = proposed(put_csv(tmp_path / "ratings.csv", ratings()), put_csv(tmp_path / "movies.csv", films))
    assert begin == columns_of(found, "items").get("time")
    assert "attributes.created" not in columns_of(found, "items")


def test_steps_given_as_times_do_not_say_when_items_came(tmp_path: Path) -> None:
    rows = [{**row, "timestamp": n % 30} for n, row in enumerate(ratings())]
    films = [{**film, "created": 881_000_000 + n} for n, film in enumerate(movies())]
    log, catalogue = put_csv(tmp_path / "ratings.csv", rows), put_csv(tmp_path / "movies.csv", films)
    found = proposed(log, catalogue, time=("timestamp",))
    assert ("timestamp", None) == (columns_of(found, "events")["time"], columns_of(found, "items").get("time"))


def test_clicks_in_a_wide_table(tmp_path: Path) -> None:
    """A label, a device as scenario, times without a zone, a column of items, and a number of the request."""
    found = proposed(put_csv(tmp_path / "log.csv", clicks(), ";"))
    events = columns_of(found, "events")
    assert ("visitor", "article_id", "event_time", "device", "clicked", "hour") == tuple(
        events[name] for name in ("user_id", "item_id", "time", "scenario_id", "label", "context.hour")
    )
    assert {"item_id": "article_id", "categories": "section"} == columns_of(found, "items")
    assert ("UTC", "click") == (found.source["time_zone"][0], found.source["positive_event"][0])
    assert "impression" == found.files[0].values["type"][0]


def test_orders(tmp_path: Path) -> None:
    """American dates, ids that pandas wrote, a price, a country as scenario; negatives are sampled."""
    found = proposed(put_csv(tmp_path / "orders.csv", orders()))
    events = columns_of(found, "events")
    assert ("CustomerID", "StockCode", "InvoiceDate", "Country", "UnitPrice") == tuple(
        events[name] for name in ("user_id", "item_id", "time", "scenario_id", "value")
    )
    assert ("%m/%d/%Y %H:%M", "sampled") == (found.source["time_format"][0], found.dataset["negatives"][0])
    assert "Description" == columns_of(found, "items")["title"]


def test_rows_without_users_and_times(tmp_path: Path) -> None:
    """Columns that stand together from row to row are one person's; what is guessed is said."""
    found = proposed(put_csv(tmp_path / "survey.csv", surveys()))
    assert "gender+income+job" == columns_of(found, "events")["user_id"]
    assert ("order", "random") == (found.source["time_unit"][0], found.dataset["split"][0])
    assert {"item_id": "coupon", "title": "coupon"} == columns_of(found, "items")
    words = {f"category_attributes.{name}": name for name in ("gender", "income", "job")}
    assert {"user_id": "gender+income+job"} | words == columns_of(found, "users")
    assert any("no column is called like a user" in note for note in found.notes)
    assert any("no column is a time" in note for note in found.notes)


def test_words_of_events(tmp_path: Path) -> None:
    """Known words become types, rows of others are left out."""
    rows = [{**row, "event": pick("view", "transaction", "hide")} for row in ratings()]
    for row in rows:
        del row["rating"]
    found = proposed(put_csv(tmp_path / "events.csv", rows))
    assert {"view": "click", "transaction": "purchase", "hide": ""} == found.source["types"][0]
    assert ["click", "purchase"] == found.dataset["label_events"][0]


def test_users_are_grouped_where_no_column_is_a_scenario(tmp_path: Path) -> None:
    """By age, or by the first of the known columns with few words."""
    log = put_csv(tmp_path / "ratings.csv", ratings())
    users = [{"id": n, "age": 18 + n, "plan": pick("free", "paid")} for n in range(1, 30)]
    found = proposed(log, put_csv(tmp_path / "users.csv", users))
    assert ("age", (25.0, 35.0)) == (found.source["scenario_of_user"][0], found.source["scenario_bounds"][0])
    for user in users:
        del user["age"]
    found = proposed(log, put_csv(tmp_path / "users.csv", users))
    assert "plan" == found.source["scenario_of_user"][0]
    assert "scenario_bounds" not in found.source


def test_files_of_splits(tmp_path: Path) -> None:
    """Files with the same columns are parts; their names say the split."""
    found = proposed(*(put_csv(tmp_path / f"{name}.csv", clicks(100)) for name in ("train", "valid", "test")))
    assert ["train", "validation", "test"] == [file.values["split"][0] for file in found.files]
    assert "split" not in found.dataset


def test_columns_may_be_given(tmp_path: Path) -> None:
    """And the rest is still proposed; without a user there is an error that says how."""
    rows = [{"who": f"w{n % 9}", "what": f"x{n % 7}", "when": 881_250_949 + n} for n in range(90)]
    path = put_csv(tmp_path / "log.csv", rows)
    with pytest.raises(
        DatasetError, match=r"log.csv: no column says who acted; its columns are who, what, when; say which"
    ):
        proposed(path)
    found = columns_of(proposed(path, user_id=("who",), item_id=("what",)), "events")
    assert {"user_id": "who", "item_id": "what", "time": "when"} == found


def test_thresholds_are_up_the_scale(tmp_path: Path) -> None:
    for scale, threshold in (
        ((1, 2, 3, 4, 5), 4.0),
        (range(1, 11), 7.0),
        ((0.5, 1, 2, 3.5, 4, 5), 3.5),
        ((-1, 0, 1), 1.0),
    ):
        rows = [{**row, "rating": scale[n % len(scale)]} for n, row in enumerate(ratings())]
        assert threshold == proposed(put_csv(tmp_path / "r.csv", rows)).features["liked_from"][0]["rating"]


def test_separators(tmp_path: Path) -> None:
    """A mark separates if the parts occur again in other cells; commas of titles do not."""
    rows = [{"a": f"x{n % 3}; y{n % 5}", "b": f"Film {n}, part {n}", "c": "same"} for n in range(60)]
    columns = read_profile(put_csv(tmp_path / "x.csv", rows)).columns
    assert [";", "", ""] == [find_separator(columns[name]) for name in "abc"]


def test_toml_values() -> None:
    assert '["a\\"b", 1.0, true]' == toml_value(['a"b', 1.0, True])
    assert '{ "é" = "" }' == toml_value({"é": ""})


FILES: dict[str, dict[str, Callable[[], Rows]]] = {
    "ratings": {"ratings": ratings, "movies": movies},
    "clicks": {"log": clicks},
    "orders": {"orders": orders},
    "surveys": {"survey": surveys},
}


@pytest.mark.parametrize("put", [put_csv, put_json, put_parquet])
@pytest.mark.parametrize("name", FILES)
def test_what_is_proposed_imports_unchanged(
    name: str, put: Callable[[Path, Rows], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the commands that are printed; labelled rows of both classes are in every split."""
    monkeypatch.chdir(tmp_path)
    paths = [put(tmp_path / f"{stem}.csv", make()) for stem, make in FILES[name].items()]
    run = CliRunner().invoke
    started = run(app, ["data", "start", *map(str, paths)], env={"COLUMNS": "160"})
    assert 0 == started.exit_code, started.output
    assert "crossrec import --out data/" in started.output
    monkeypatch.setenv("CROSSREC_CONFIG", str(tmp_path / "crossrec.toml"))
    imported = run(app, ["import", "--out", "data/mine"])
    assert 0 == imported.exit_code, imported.output
    events = DatasetReader(tmp_path / "data" / "mine").table("events").to_pylist()
    for split in ("train", "validation", "test"):
        assert {0, 1} == {row["label"] for row in events if row["split"] == split}
    again = run(app, ["data", "start", *map(str, paths)])
    assert "crossrec.toml exists; give another name: --out other.toml" in str(again.exception)


def test_what_may_not_be_imported_is_not_proposed(tmp_path: Path) -> None:
    """Lists longer than categories may be are an attribute; texts that are too long are left out."""
    films = [{name: film[name] for name in ("movieId", "title")} for film in movies()]
    for place, film in enumerate(films):
        film |= {"tags": [f"t{n % 12}" for n in range(place, place + 9)], "description": "x" * 20_000}
    found = proposed(put_json(tmp_path / "ratings.csv", ratings()), put_json(tmp_path / "movies.csv", films))
    items = columns_of(found, "items")
    assert {"item_id": "movieId", "title": "title", "category_attributes.tags": "tags"} == items
    (attribute,) = (attribute for _, attribute in found.attributes)
    assert ("tags", "categories", 12) == (attribute.column, attribute.kind, len(attribute.values))


def test_other_alphabets_and_the_index_of_pandas(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Names are quoted where TOML needs it, another encoding is found, and a column that counts rows is of no use."""
    monkeypatch.chdir(tmp_path)
    rows = [{"": n, **row, "Gerät": pick("Händy", "Rechner")} for n, row in enumerate(ratings(90))]
    path = put_csv(tmp_path / "käufe.csv", rows)
    path.write_bytes(path.read_text(encoding="utf-8").encode("latin-1"))
    found = proposed(path)
    assert ["" in file.unused for file in found.files] == [True]
    assert "cp1252" == found.source["encoding"][0]
    assert 0 == CliRunner().invoke(app, ["data", "start", str(path)]).exit_code
    monkeypatch.setenv("CROSSREC_CONFIG", str(tmp_path / "crossrec.toml"))
    imported = CliRunner().invoke(app, ["import", "--out", "data/k_ufe"])
    assert 0 == imported.exit_code, imported.output
    context = DatasetReader(tmp_path / "data" / "k_ufe").table("events")["context_categories"].to_pylist()
    assert [("gerät", ["Händy"])] in context
