"""MovieLens in all its forms: the same ratings, films and scenarios."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from export.datasets.errors import DatasetError
from export.datasets.movielens.adapter import load_movielens
from export.datasets.movielens.source import GENRES
from export.datasets.tables import Dataset
from services.settings.load import load_settings

RATINGS = [("1", "10", "5", "881250949"), ("2", "10", "3", "881250950"), ("3", "20", "4", "881250951")]
AGES = {"1": "24", "2": "25", "3": "35"}
Write = Callable[[Path], None]


def recbole(directory: Path, users: bool = True) -> None:
    head = "user_id:token\titem_id:token\trating:float\ttimestamp:float\n"
    (directory / "ml.inter").write_text(head + "".join("\t".join(row) + "\n" for row in RATINGS))
    head = "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\n"
    (directory / "ml.item").write_text(head + "10\tToy Story\t1995\tAnimation Comedy\n20\tUnknown\t\t\n")
    head = "user_id:token\tage:token\tgender:token\toccupation:token\tzip_code:token\n"
    if users:
        rows = "".join(f"{user}\t{age}\tM\twriter\t00000\n" for user, age in AGES.items())
        (directory / "ml.user").write_text(head + rows)


def hundred_thousand(directory: Path) -> None:
    (directory / "u.data").write_text("".join("\t".join(row) + "\n" for row in RATINGS))
    flags = "|".join("1" if genre in {"Animation", "Comedy"} else "0" for genre in GENRES)
    none = "|".join("1" if genre == "unknown" else "0" for genre in GENRES)
    films = f"10|Toy Story (1995)|01-Jan-1995||http://x|{flags}\n20|Unknown||||{none}\n"
    (directory / "u.item").write_text(films, encoding="latin-1")
    (directory / "u.user").write_text("".join(f"{user}|{age}|M|writer|00000\n" for user, age in AGES.items()))


def million(directory: Path) -> None:
    (directory / "ratings.dat").write_text("".join("::".join(row) + "\n" for row in RATINGS))
    (directory / "movies.dat").write_text("10::Toy Story (1995)::Animation|Comedy\n20::Unknown::\n")
    (directory / "users.dat").write_text("".join(f"{user}::M::{age}::10::00000\n" for user, age in AGES.items()))


def latest(directory: Path) -> None:
    (directory / "ratings.csv").write_text(
        "userId,movieId,rating,timestamp\n" + "".join(",".join(row) + "\n" for row in RATINGS)
    )
    films = 'movieId,title,genres\n10,"Toy Story (1995)",Animation|Comedy\n20,Unknown,(no genres listed)\n'
    (directory / "movies.csv").write_text(films)


def load(directory: Path, write: Write) -> Dataset:
    write(directory)
    return load_movielens(source=directory)


@pytest.mark.parametrize("write", [recbole, hundred_thousand, million, latest])
def test_every_form_gives_the_same_ratings_and_films(tmp_path: Path, write: Write) -> None:
    """Titles without the year, which is an attribute; genres as categories; a rating over 3 is positive."""
    dataset = load(tmp_path, write)
    ratings = [row for row in dataset.events.to_pylist() if row["type"] == "rating"]
    assert [("1", "10", 5.0), ("2", "10", 3.0), ("3", "20", 4.0)] == [
        (row["user_id"], row["item_id"], row["value"]) for row in ratings
    ]
    assert datetime(1997, 12, 4, 15, 55, 49, tzinfo=UTC) == ratings[0]["time"]
    assert [1, 0, 1] == [row["label"] for row in dataset.events.to_pylist() if row["label"] is not None]
    toys, unknown = sorted(dataset.items.to_pylist(), key=lambda row: row["item_id"])
    assert ("Toy Story", ["Animation", "Comedy"], [("year", 1995.0)], "Animation, Comedy, 1995") == (
        toys["title"],
        toys["categories"],
        toys["attributes"],
        toys["description"],
    )
    assert ("Unknown", [], []) == (unknown["title"], unknown["categories"], unknown["attributes"])


@pytest.mark.parametrize("write", [recbole, hundred_thousand, million])
def test_scenarios_are_age_groups(tmp_path: Path, write: Write) -> None:
    """Under 25, 25 to 34, 35 and more."""
    dataset = load(tmp_path, write)
    scenario = {row["user_id"]: row["scenario_id"] for row in dataset.events.to_pylist()}
    assert {"1": "under-25", "2": "25-to-34", "3": "35-and-more"} == scenario
    assert all(row["description"] for row in dataset.scenarios.to_pylist())


def test_without_ages_scenarios_are_weekday_and_weekend(tmp_path: Path) -> None:
    dataset = load(tmp_path, latest)
    assert ["weekday"] * 6 == dataset.events["scenario_id"].to_pylist()  # a Thursday
    assert {"weekday", "weekend"} == set(dataset.scenarios["scenario_id"].to_pylist())


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("u.data", "1\t10\t5\n", "u.data:1: has 3 cells, expected 4: user_id, item_id, value, time"),
        ("u.data", "1\t10\tgood\t881250949\n", "u.data:1, column value: 'good' is not a number"),
        ("u.user", "1|old|M|writer|0\n", "u.user:1, column age: 'old' is not an age in years"),
        ("u.user", "1|24|M|writer|0\n2|25|M|writer|0\n", "u.data:3, column user_id: user '3' is not among the users"),
        ("ratings.dat", "", "are both ratings: remove one"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, name: str, content: str, problem: str) -> None:
    hundred_thousand(tmp_path)
    (tmp_path / name).write_text(content)
    with pytest.raises(DatasetError) as caught:
        load_movielens(source=tmp_path)
    assert problem in str(caught.value)


def test_other_directories_are_refused(tmp_path: Path) -> None:
    """With what is expected."""
    with pytest.raises(DatasetError, match=r"has no MovieLens files; expected ratings as \*.inter"):
        load_movielens(source=tmp_path)
    (tmp_path / "ratings.csv").write_text("user,movie,stars\n1,2,3\n")
    with pytest.raises(DatasetError, match="has no column user_id, item_id, value, time; its columns are user, movie"):
        load_movielens(source=tmp_path)


def test_the_settings_of_the_data_set_are_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are used without naming a file."""
    monkeypatch.delenv("CROSSREC_CONFIG", raising=False)
    settings = load_settings("movielens")
    assert (("rating",), 4.0) == (settings.dataset.label_events, settings.dataset.rating_threshold)
    assert ["year"] == [attribute.name for attribute in settings.features.attributes]


def test_users_and_genres_are_attributes(tmp_path: Path) -> None:
    """Ages as numbers, occupations and genres as categories."""
    dataset = load(tmp_path, recbole)
    (first, *_) = dataset.users.to_pylist()
    assert ("1", [("age", 24.0)]) == (first["user_id"], first["attributes"])
    assert [("gender", ["M"]), ("occupation", ["writer"])] == first["category_attributes"]
    assert [("genre", ["Animation", "Comedy"])] == dataset.items.to_pylist()[0]["category_attributes"]
