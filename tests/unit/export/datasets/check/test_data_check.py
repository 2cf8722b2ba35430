"""The data set check: each defect is a finding with numbers and a level; a sound data set has none."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from export.datasets.check.columns import MemoryTableReader
from export.datasets.check.data_check import check_data
from export.datasets.check.report import CheckReport, Finding
from export.datasets.tables import TABLES, Dataset, from_columns
from export.text_encoder.sentence_encoders import AUTO
from services.features.config import Attribute, FeatureConfig

T0 = datetime(2026, 1, 1, tzinfo=UTC)
Rows = list[dict[str, Any]]

ITEMS = [
    {
        "item_id": f"i{n}",
        "time": T0,
        "title": "tea",
        "description": "",
        "categories": ["drinks"],
        "price": 1.0,
        "attributes": [],
    }
    for n in range(5)
]
SCENARIOS = [{"scenario_id": s, "time": T0, "name": s, "description": f"on the {s}"} for s in ("tv", "phone")]


def event(kind: str, hours: float, item: str | None = "i0", user: str = "u0", **more: Any) -> dict[str, Any]:
    return {
        "user_id": user,
        "scenario_id": "tv",
        "item_id": item,
        "type": kind,
        "time": T0 + timedelta(hours=hours),
        **more,
    }


def impression(hours: float, item: str, label: int, split: str, user: str = "u0", **more: Any) -> dict[str, Any]:
    return event(
        "impression", hours, item, user, **{"label": label, "split": split, "request_id": f"{user}{hours}", **more}
    )


def sound() -> Rows:
    """Ten days, each with a request of two rows in one of two scenarios, and a click on one of them."""
    events = []
    for day in range(10):
        split = "train" if day < 6 else "validation" if day < 8 else "test"
        for user in ("u0", "u1"):
            where = {"user": user, "scenario_id": ("tv", "phone")[day % 2]}
            events += [
                impression(24 * day + 1, "i0", 1, split, **where),
                impression(24 * day + 1, f"i{1 + day % 4}", 0, split, **where),
                event("click", 24 * day + 2, "i0", **where),
            ]
    return events


def check_rows(
    events: Rows, items: Rows = ITEMS, scenarios: Rows = SCENARIOS, config: FeatureConfig | None = None
) -> CheckReport:
    numbered = [{"event_id": f"e{n}", **row} for n, row in enumerate(events)]
    tables = [
        from_columns(spec, {c.name: [row.get(c.name) for row in rows] for c in spec.columns}, len(rows))
        for spec, rows in zip(TABLES, (numbered, items, scenarios), strict=True)
    ]
    now = round((T0 + timedelta(days=30)).timestamp() * 1000)
    return check_data(MemoryTableReader(Dataset(*tables)), config or FeatureConfig(), 3600.0, now, AUTO, None)


def finding(report: CheckReport, name: str) -> Finding:
    (found,) = [f for f in report.findings if f.name == name]
    return found


def test_a_sound_data_set_has_no_defect() -> None:
    """It is small, and one item has all the clicks; test_every_check.py has a set without any finding."""
    report = check_rows(sound())
    found = {f.name: f.level for f in report.findings if f.level != "ok"}
    assert {"labels": "warning", "popularity of negatives": "note"} == found
    assert "Fewer than 100 training positives" in finding(report, "labels").meaning


def test_counts() -> None:
    """Events per scenario and type, labels per scenario and split, events per day from the first day."""
    report = check_rows(sound())
    assert {"events": 60, "labelled": 40, "users": 2, "items": 5, "scenarios": 2} == report.tables
    assert {"impression": 20, "click": 10} == report.events["phone"]
    assert {"scenario": "tv", "split": "train", "rows": 12, "positives": 6} in report.labels
    assert ("2026-01-01", [6] * 10) == (report.first_day, report.days)
    assert {"ok", "note", "warning", "error"} == set(report.as_json()["levels"])


@pytest.mark.parametrize(
    ("extra", "name", "level", "numbers"),
    [
        (
            [event("click", 240, "i3"), impression(240.1, "i3", 1, "test")],
            "positives after their engagement", "error", {"late": 1, "positives": 21},
        ),
        (
            [event("click", 240, "i3"), impression(240, "i3", 1, "test")],
            "positives at the time of their engagement", "note", {"same time": 1},
        ),
        ([impression(239, "i3", 1, "train"), impression(239, "i4", 0, "train")], "order of the splits", "error",
         {"train rows later": 2}),
        ([impression(234, "i3", 0, "train", request_id="u0217")], "requests in two splits", "warning", {"divided": 1}),
        ([event("click", -1)], "events before their item", "warning", {"events": 1, "labelled": 0}),
        ([event("click", 24 * 31)], "times in the future", "error", {"rows": 1}),
        ([event("click", 5, event_id="e0")], "repeated event ids", "error", {"events": 1}),
        ([event("click", 55)], "repeated events", "ok", {"events": 0}),
        ([event("click", 5), event("click", 5)], "repeated events", "warning", {"events": 1}),
        ([event("query", 5, None, text="tea")] * 2, "repeated events", "ok", {"events": 0}),
        ([impression(1, "i0", 0, "train", scenario_id="phone")], "contradicting labels", "ok", {"rows": 0}),
        ([impression(1, "i0", 0, "train")], "contradicting labels", "warning", {"rows": 1}),
        ([event("click", 24 * 20)], "days without events", "warning", {"longest gap": 10, "empty": 10, "days": 21}),
        (
            [impression(239, "i3", 0, "test", user="new")],
            "labelled users without behaviour", "ok", {"without behaviour": 0},
        ),
        (
            [event("candidate", 239, "i3", "new", label=0, split="test", request_id="r")],
            "labelled users without behaviour", "note", {"without behaviour": 1},
        ),
        (
            [impression(239, "i3", 0, "test", request_id=None)] * 80,
            "requests", "note", {"without request": 80},
        ),
    ],
)  # fmt: skip
def test_a_defect_is_found(extra: Rows, name: str, level: str, numbers: dict[str, int]) -> None:
    """Each added defect gives a finding with its level and its numbers."""
    found = finding(check_rows([*sound(), *extra]), name)
    assert level == found.level
    assert numbers == {name: found.numbers[name] for name in numbers}


def test_late_labels_need_a_near_engagement() -> None:
    """An engagement long before a positive, or another one after it, is history and no leak."""
    long_ago = [event("click", 238, "i3"), impression(240, "i3", 1, "test")]
    again = [event("click", 241, "i4"), impression(241.1, "i4", 1, "test"), event("click", 241.2, "i4")]
    assert 0 == finding(check_rows([*sound(), *long_ago, *again]), "positives after their engagement").numbers["late"]


def test_a_split_by_user_may_overlap_in_time() -> None:
    """Where splits share no user, their order in time does not matter."""
    users = {"train": "a", "validation": "b", "test": "c"}
    events = [impression(hour, "i0", hour % 2, split, user) for hour in range(10) for split, user in users.items()]
    found = finding(check_rows(events), "order of the splits")
    assert ("ok", "Splits share no user, so their order in time does not matter.") == (found.level, found.meaning)


@pytest.mark.parametrize(
    ("keep", "level", "meaning"),
    [
        (lambda row: row["type"] == "click", "error", "There is nothing to train on"),
        (lambda row: row.get("label") != 0, "error", "The training rows lack positives or negatives"),
        (lambda row: row.get("split") != "test", "warning", "Split test lacks positives or negatives"),
    ],
)
def test_labels_of_one_kind_are_graded(keep: Any, level: str, meaning: str) -> None:
    """Training needs both classes; validation and test only for their metrics."""
    found = finding(check_rows([row for row in sound() if keep(row)]), "labels")
    assert level == found.level
    assert meaning in found.meaning


def test_scenarios_and_users() -> None:
    """Scenarios without labels, behaviour or description, and users in one scenario only, are reported."""
    report = check_rows([*sound(), event("click", 1, user="u9")], scenarios=[
        *SCENARIOS, {"scenario_id": "mail", "time": T0, "name": "mail", "description": ""}])  # fmt: skip
    for name, level in (("labels", "note"), ("behaviour", "warning"), ("description", "warning")):
        found = finding(report, f"scenarios without {name}")
        assert (level, ["mail"]) == (found.level, found.numbers["scenarios"])
    assert {"users": 3, "in one scenario": 1, "share": 0.3333} == finding(report, "users in one scenario only").numbers
    alone = [{**row, "scenario_id": "tv"} for row in sound()]
    found = finding(check_rows(alone, scenarios=SCENARIOS[:1]), "users in one scenario only")
    assert ("note", True) == (found.level, "nothing to transfer" in found.meaning)


def test_items() -> None:
    """Missing texts, categories, prices and events are counted over items, not over versions."""
    bare = {"item_id": "bare", "time": T0, "title": "", "categories": [], "attributes": []}
    placed = {**bare, "scenario_id": "tv", "title": None, "attributes": [("banner", 1.0)]}
    report = check_rows(sound(), [*ITEMS, {**ITEMS[0], "time": T0 + timedelta(hours=1), "price": None}, bare, placed])
    for what in ("text", "categories", "price", "events"):
        found = finding(report, f"items without {what}")
        assert ("note", 1, 6) == (found.level, found.numbers["without"], found.numbers["items"])


def test_attributes_and_weights() -> None:
    """Undeclared attributes, declared ones without values, and event types without weight are reported."""
    config = FeatureConfig(engagement={"purchase": 1.0}, attributes=(Attribute("banned", "item_scenario"),))
    placed = {"item_id": "i0", "scenario_id": "tv", "time": T0, "categories": [], "attributes": [("banner", 1.0)]}
    report = check_rows(sound(), [*ITEMS, placed], config=config)
    assert ["item_scenario banner"] == finding(report, "attributes not declared").numbers["attributes"]
    assert ["item_scenario banned"] == finding(report, "declared attributes without values").numbers["attributes"]
    assert {"click": 20} == finding(report, "events without weight").numbers


def test_updates_after_the_last_event_are_noted() -> None:
    """A version that applies to no row is no error, but is reported."""
    late = {**ITEMS[0], "time": T0 + timedelta(days=12)}
    assert 1 == finding(check_rows(sound(), [*ITEMS, late]), "updates after the last event").numbers["versions"]
