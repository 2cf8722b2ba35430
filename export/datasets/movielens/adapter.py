"""The MovieLens adapter: ratings of films as cross-scenario ranking data.

A scenario is an age group of users, where users' ages are known; else it is weekday or weekend (UTC). Knows the tables;
source.py knows the files.
"""

import math
import re
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from export.datasets.errors import DatasetError, Problem
from export.datasets.jsonl import finish_dataset
from export.datasets.movielens.source import Columns, MovieLens, TextTable, read_movielens
from export.datasets.raw_tables import RawTable, raw_table
from export.datasets.tables import ERASURES, EVENTS, ITEMS, SCENARIOS, USERS, Dataset, ReportStep
from services.events.checks import MAX_CATEGORIES
from services.settings.training import DatasetSettings

AGE_GROUPS = (
    ("under-25", 0.0, "Under 25", "Viewers younger than 25 years."),
    ("25-to-34", 25.0, "25 to 34", "Viewers from 25 to 34 years of age."),
    ("35-and-more", 35.0, "35 and more", "Viewers of 35 years and more."),
)
"""Scenario, least age, name and description."""

DAY_GROUPS = (
    ("weekday", "Weekday", "Watching and rating films from Monday to Friday."),
    ("weekend", "Weekend", "Watching and rating films on Saturday and Sunday."),
)

USER_ATTRIBUTES = {
    "attributes.age": "age",
    "category_attributes.gender": "gender",
    "category_attributes.occupation": "occupation",
}
"""Attributes of users, and the columns that hold them."""

RATINGS_ARE_LABELS = {"label_events": ("rating",), "rating_threshold": 4.0}
"""Where the settings say nothing of labels: a rating over 3 is positive."""

NO_GENRES = "(no genres listed)"
_YEAR = re.compile(r"^(.*?)\s*\((\d{4})\)\s*$")


def load_movielens(
    *,
    source: Path | None = None,
    settings: DatasetSettings | None = None,
    latest_s: float = math.inf,
    report: ReportStep = lambda _: None,
) -> Dataset:
    """Read the directory `source`, in any of the forms in which MovieLens is distributed.

    `settings` define labels and splits; without label events, ratings from 4 on are positive. Times after `latest_s`,
    seconds since 1970, are invalid. Raises DatasetError with file, line, column and reason of each problem.
    """
    if source is None:
        raise DatasetError("movielens needs --source, the directory with its files")
    report("reading ratings, films and users")
    found = read_movielens(source)
    problems: list[Problem] = []
    events, scenarios = _events(found, problems)
    raw = {
        "events": events,
        "items": _items(found.films, problems) if found.films else _nothing(ITEMS.name),
        "scenarios": scenarios,
        "users": _users(found.users, problems) if found.users else _nothing(USERS.name),
        "erasures": _nothing(ERASURES.name),
    }
    if problems:
        raise DatasetError(f"{len(problems)} invalid values", problems)
    rules = settings or DatasetSettings()
    if not rules.label_events:
        rules = DatasetSettings.model_validate(rules.model_dump() | RATINGS_ARE_LABELS)
    return finish_dataset(raw, rules, latest_s, report)


def _nothing(name: str) -> RawTable:
    spec = {ITEMS.name: ITEMS, USERS.name: USERS, ERASURES.name: ERASURES}[name]
    return RawTable(spec, spec.schema.empty_table(), [])


def _events(found: MovieLens, problems: list[Problem]) -> tuple[RawTable, RawTable]:
    """The ratings as events, and their scenarios."""
    ratings = found.ratings
    columns = {name: ratings.columns[name] for name in ("user_id", "item_id", "value", "time")}
    columns["type"] = ["rating"] * len(ratings)
    if found.users and "age" in found.users.columns:
        columns["scenario_id"] = _age_groups(ratings, found.users, problems)
        groups = [(name, title, text) for name, _, title, text in AGE_GROUPS]
    else:
        columns["scenario_id"] = [""] * len(ratings)
        groups = list(DAY_GROUPS)
    table = raw_table(EVENTS, columns, ratings.place, problems)
    if groups == list(DAY_GROUPS):
        table.table = _with_day_groups(table.table)
    ids, names, texts = (list(column) for column in zip(*groups, strict=True))
    scenarios = raw_table(
        SCENARIOS, {"scenario_id": ids, "name": names, "description": texts}, lambda row: f"scenario {row}", problems
    )
    return table, scenarios


def _age_groups(ratings: TextTable, users: TextTable, problems: list[Problem]) -> list[str]:
    """The age group of each rating's user."""
    groups: dict[str, str] = {}
    for row, (user, age) in enumerate(zip(users.columns["user_id"], users.columns["age"], strict=True)):
        try:
            groups[user] = next(name for name, least, _, _ in reversed(AGE_GROUPS) if float(age) >= least)
        except (ValueError, StopIteration):
            problems.append(Problem(users.place(row), "age", f"{age!r} is not an age in years"))
    known = set(users.columns["user_id"])
    for row, user in enumerate(ratings.columns["user_id"]):
        if user not in known:
            problems.append(Problem(ratings.place(row), "user_id", f"user {user!r} is not among the users"))
    return [groups.get(user, AGE_GROUPS[0][0]) for user in ratings.columns["user_id"]]


def _with_day_groups(events: pa.Table) -> pa.Table:
    """Weekday or weekend by the time, UTC."""
    weekend = pc.greater_equal(pc.day_of_week(events["time"]), 5)
    scenario = pc.if_else(weekend, DAY_GROUPS[1][0], DAY_GROUPS[0][0])
    at = events.schema.get_field_index("scenario_id")
    return events.set_column(at, events.schema.field("scenario_id"), scenario)


def _items(films: TextTable, problems: list[Problem]) -> RawTable:
    """The films: title without the year, the year as an attribute, genres as categories and in a sentence."""
    titles, years = _titles_and_years(films.columns)
    genres = [
        [] if given == NO_GENRES else [genre for genre in given.split("|") if genre]
        for given in films.columns.get("genres", [""] * len(films))
    ]
    columns = {
        "item_id": films.columns["item_id"],
        "title": titles,
        "description": [_describe(names, year) for names, year in zip(genres, years, strict=True)],
        "categories": ["|".join(names[:MAX_CATEGORIES]) for names in genres],
        "attributes.year": years,
        "category_attributes.genre": ["|".join(names) for names in genres],
    }
    return raw_table(ITEMS, columns, films.place, problems)


def _users(users: TextTable, problems: list[Problem]) -> RawTable:
    """What the files say of users, valid from the first rating on."""
    columns = {"user_id": users.columns["user_id"]}
    for column, name in USER_ATTRIBUTES.items():
        if name in users.columns:
            columns[column] = users.columns[name]
    return raw_table(USERS, columns, users.place, problems)


def _titles_and_years(columns: Columns) -> tuple[list[str], list[str]]:
    """Titles, and years from a column, or from behind the titles."""
    parts = [_YEAR.match(title) for title in columns["title"]]
    titles = [part.group(1) if part else title for part, title in zip(parts, columns["title"], strict=True)]
    if "year" in columns:
        return titles, [year if year.isdigit() else "" for year in columns["year"]]
    return titles, [part.group(2) if part else "" for part in parts]


def _describe(genres: list[str], year: str) -> str:
    kind = ", ".join(genres) or "Film"
    return f"{kind}, {year}" if year else kind
