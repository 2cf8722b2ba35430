"""Checks of users' attributes and of categories: what must trip each of them, and what must not."""

from datetime import UTC, datetime
from typing import Any

import pytest

from export.datasets.check.categories import check_categories
from export.datasets.check.columns import MemoryTableReader
from export.datasets.check.report import Finding
from export.datasets.tables import EVENTS, ITEMS, SCENARIOS, USERS, Dataset, from_columns
from services.features.config import Attribute, FeatureConfig

T0 = datetime(2026, 1, 1, tzinfo=UTC)
GENRE = Attribute("genre", "item", kind="categories", values=("crime", "drama"))
JOB = Attribute("job", "user", kind="category", buckets=8)
AGE, WEATHER = Attribute("age", "user"), Attribute("weather", "context", kind="category", buckets=8)
ALL = (GENRE, JOB, AGE, WEATHER)


def found(
    attributes: tuple[Attribute, ...],
    user: tuple[list[Any], list[Any]] = ([("age", 24.0)], [("job", ["cook"])]),
    genres: tuple[str, ...] = ("crime", "drama"),
) -> dict[str, Finding]:
    """Findings about one event, user and item."""
    event = {"event_id": "e", "user_id": "u", "scenario_id": "tv", "item_id": "i", "type": "impression", "time": T0}
    item = {"item_id": "i", "time": T0, "title": "Heat", "categories": [], "attributes": []}
    rows = (
        (EVENTS, {**event, "label": 1, "split": "train", "context_categories": [("weather", ["rain"])]}),
        (ITEMS, {**item, "category_attributes": [("genre", genres)]}),
        (SCENARIOS, {"scenario_id": "tv", "time": T0, "name": "TV", "description": ""}),
        (USERS, {"user_id": "u", "time": T0, "attributes": user[0], "category_attributes": user[1]}),
    )
    tables = {s.name: from_columns(s, {c.name: [row.get(c.name)] for c in s.columns}, 1) for s, row in rows}
    findings = check_categories(
        MemoryTableReader(Dataset(**tables)), FeatureConfig(attributes=attributes), labelled=True
    )
    return {finding.name: finding for finding in findings}


def levels(findings: dict[str, Finding]) -> dict[str, str]:
    return {name: each.level for name, each in findings.items() if each.level != "ok"}


def test_a_sound_declaration_has_no_finding() -> None:
    """All that is declared is there in its kind, and all that is there is declared."""
    assert {} == levels(found(ALL))


def test_what_is_not_declared_is_named() -> None:
    """Numbers and texts of users, texts of items and contexts."""
    findings = found(())
    name = "users' attributes and categories not declared"
    assert {name: "warning"} == levels(findings)
    assert ["user age", "user job", "item genre", "context weather"] == findings[name].numbers["attributes"]


def test_what_has_no_values_is_named() -> None:
    """Also a misspelt one."""
    findings = found((*ALL, Attribute("agee", "user"), Attribute("device", "context", kind="category", buckets=2)))
    name = "declared users' attributes and categories that are missing"
    assert {name: "warning"} == levels(findings)
    assert ["user agee", "context device"] == findings[name].numbers["attributes"]


def test_another_kind_than_declared_is_an_error() -> None:
    """The replay would refuse it."""
    findings = found(ALL, user=([("job", 3.0)], [("age", ["24"])]))
    name = "attributes of another kind than declared"
    assert {name: "error"} == levels(findings)
    assert ["user age: texts", "user job: numbers"] == findings[name].numbers["attributes"]


@pytest.mark.parametrize(
    ("genres", "level"), [(("crime",), None), (("drama",) * 30 + ("noir",), "note"), (("drama", "noir"), "warning")]
)
def test_values_that_a_vocabulary_lacks_are_counted(genres: tuple[str, ...], level: str | None) -> None:
    """A note of few, a warning of many, with the most frequent ones."""
    findings = found(ALL, genres=genres)
    name = "values outside a vocabulary"
    assert ({name: level} if level else {}) == levels(findings)
    assert level is None or findings[name].numbers["item genre"].endswith("most often noir")
