"""Every check of a data set has a set that trips it, and a sound set trips none: nothing is ok that is not."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import numpy as np
import pytest

from export.datasets.check.report import CheckReport
from services.features.config import Attribute, FeatureConfig
from tests.unit.export.datasets.check.test_data_check import ITEMS, SCENARIOS, T0, Rows, check_rows, event, finding

USERS, DAYS = 40, 20
CONFIG = FeatureConfig(attributes=(Attribute("hour", "context"), Attribute("size", "item")))
Row = dict[str, Any]


@dataclass
class Made:
    """A data set of the test's own; a case changes it."""

    events: Rows
    items: Rows
    scenarios: Rows = field(default_factory=lambda: [dict(row) for row in SCENARIOS])
    config: FeatureConfig = CONFIG

    def check(self) -> CheckReport:
        return check_rows(self.events, self.items, self.scenarios, self.config)

    def labelled(self, split: str = "") -> Rows:
        return [row for row in self.events if "label" in row and split in ("", row["split"])]

    def drop(self, unwanted: Callable[[Row], bool]) -> None:
        self.events = [row for row in self.events if not unwanted(row)]


def sound() -> Made:
    """Twenty days of forty users: a list of three items a day, one of them clicked a minute later."""
    rng = np.random.default_rng(0)
    events: Rows = []
    for day in range(DAYS):
        split = "train" if day < 14 else "validation" if day < 17 else "test"
        for user in range(USERS):
            hours = 24 * day + 1 + 20 * user / USERS + rng.random() / 3
            of = {"user": f"u{user}", "scenario_id": ("tv", "phone")[(day + user) % 2]}
            shown = rng.permutation(len(ITEMS))[:3]
            for place, item in enumerate(shown):
                row = {"label": int(place == 0), "split": split, "request_id": f"{day}-{user}"}
                row["context"] = [("hour", hours % 24)]
                events.append(event("impression", hours, f"i{item}", **of, **row))
            events.append(event("click", hours + 1 / 60, f"i{shown[0]}", **of))
    items = [{**row, "attributes": [("size", float(place))]} for place, row in enumerate(ITEMS)]
    return Made(events, items)


def shift(rows: Rows, **by: float) -> None:
    for row in rows:
        row["time"] += timedelta(**by)


def lose_test_positives(made: Made) -> None:
    made.drop(lambda row: row.get("split") == "test" and row["label"] == 1)


def label_everything(made: Made) -> None:
    made.drop(lambda row: row.get("label") == 0 and row["user_id"] != "u1")


def label_after_the_click(made: Made) -> None:
    shift(made.labelled(), minutes=2)


def label_at_the_click(made: Made) -> None:
    shift(made.labelled(), minutes=1)


def stamp_rows_by_a_nightly_job(made: Made) -> None:
    for row in made.labelled():
        row |= {"type": "candidate", "time": row["time"].replace(hour=23, minute=59)}


def log_no_clicks(made: Made) -> None:
    made.drop(lambda row: row["type"] == "click")


def reverse_splits(made: Made) -> None:
    for row in made.labelled():
        row["split"] = {"train": "test", "test": "train"}.get(row["split"], row["split"])


def divide_requests(made: Made) -> None:
    for row in made.labelled("test"):
        row["request_id"] = row["request_id"].split("-")[1]
    for row in made.labelled("train"):
        row["request_id"] = row["request_id"].split("-")[1]


def describe_items_late(made: Made) -> None:
    made.items[0]["time"] += timedelta(days=5)


def draw_from_the_future(made: Made) -> None:
    """Negatives of items whose first event comes later, as if the catalogue had always been whole."""
    for number, row in enumerate(row for row in made.labelled() if row["label"] == 0):
        row |= {"item_id": f"late{number % 50}", "type": "candidate"}
    made.items += [{**ITEMS[0], "item_id": f"late{n}", "attributes": [("size", 1.0)]} for n in range(50)]
    made.events += [event("click", 24 * DAYS - 1, f"late{n}", f"u{n % USERS}") for n in range(50)]


def draw_unpopular_negatives(made: Made) -> None:
    for number, row in enumerate(row for row in made.labelled() if row["label"] == 0):
        row["item_id"] = f"rare{number % 200}"
    made.items += [{**ITEMS[0], "item_id": f"rare{n}", "attributes": [("size", 1.0)]} for n in range(200)]


def forget_requests(made: Made) -> None:
    for row in made.labelled():
        del row["request_id"]


def rank_alone(made: Made) -> None:
    for number, row in enumerate(made.labelled()):
        row["request_id"] = f"alone{number}"


def take_positions_for_times(made: Made) -> None:
    for place, row in enumerate(made.events):
        row["time"] = T0 + timedelta(milliseconds=place // USERS)


def lose_all_times(made: Made) -> None:
    for row in made.events:
        row["time"] = T0 + timedelta(days=1)


def round_to_days(made: Made) -> None:
    for row in made.events:
        row["time"] = row["time"].replace(hour=0, minute=0, second=0, microsecond=0)


def buy_baskets(made: Made) -> None:
    made.events += [
        {**row, "item_id": f"i{n}"}
        for row in made.events
        if row["type"] == "click"
        for n in range(5)
        if row["item_id"] != f"i{n}"
    ]


def forget_in_minutes(made: Made) -> None:
    made.config = replace(CONFIG, half_lives_s=(60.0, 600.0))


def keep_three_items(made: Made) -> None:
    made.config = replace(CONFIG, user_items=3)


def leak_by_an_attribute(made: Made) -> None:
    made.config = replace(CONFIG, attributes=(*CONFIG.attributes, Attribute("seen_s", "context")))
    for row in made.labelled():
        row["context"] = [*row["context"], ("seen_s", 30.0 + row["label"])]


def leak_by_having_an_attribute(made: Made) -> None:
    for row in made.labelled():
        row["context"] = row["context"] if row["label"] else []


def lose_context_of_labelled_rows(made: Made) -> None:
    for row in made.events:
        row["context"] = [] if "label" in row else [("hour", 3.0)]


def lose_context_of_some(made: Made) -> None:
    for row in made.labelled()[::3]:
        row["context"] = []


def leak_by_a_category(made: Made) -> None:
    declare(made, Attribute("status", "context", kind="category", values=("open", "done")))
    for row in made.labelled():
        row["context_categories"] = [("status", [("open", "done")[row["label"]]])]


def lose_a_category_of_some(made: Made) -> None:
    declare(made, Attribute("device", "context", kind="category", values=("phone", "tv")))
    for row in made.labelled()[::3]:
        row["context_categories"] = [("device", ["tv"])]


def misspell_an_attribute(made: Made) -> None:
    made.config = replace(CONFIG, attributes=(*CONFIG.attributes, Attribute("sise", "item")))


def add_an_attribute(made: Made) -> None:
    for row in made.events:
        row["context"] = [*row.get("context", ()), ("device", 1.0)]


def every_user_at_home(made: Made) -> None:
    for row in made.events:
        row["scenario_id"] = ("tv", "phone")[int(row["user_id"][1:]) % 2]


def label_strangers(made: Made) -> None:
    for row in made.labelled("test"):
        row |= {"user_id": f"new{row['user_id']}", "type": "candidate"}


def bare(**columns: Any) -> Callable[[Made], None]:
    def change(made: Made) -> None:
        for row in made.items:
            row.update(columns)

    return change


def add_a_scenario(made: Made) -> None:
    made.scenarios.append({"scenario_id": "mail", "time": T0, "name": "mail", "description": ""})


def test_in_one_scenario(made: Made) -> None:
    for row in made.labelled("test"):
        row["scenario_id"] = "tv"


test_in_one_scenario.__test__ = False  # type: ignore[attr-defined]


def ignore_clicks(made: Made) -> None:
    made.config = replace(CONFIG, engagement={"purchase": 1.0})


def declare(made: Made, *attributes: Attribute) -> None:
    made.config = replace(CONFIG, attributes=(*CONFIG.attributes, *attributes))


def give_genres(made: Made) -> None:
    made.items[0]["category_attributes"] = [("genre", ["noir"])]


def declare_another_vocabulary(made: Made) -> None:
    give_genres(made)
    declare(made, Attribute("genre", "item", kind="categories", values=("war",)))


def declare_a_number_as_category(made: Made) -> None:
    give_genres(made)
    made.items[0]["attributes"].append(("genre", 1.0))
    declare(made, Attribute("genre", "item", kind="categories", buckets=8))


def rate_clicks(made: Made) -> None:
    for place, row in enumerate(row for row in made.events if row["type"] == "click"):
        row.update(type="rating", value=float(1 + place % 5))


def like_everything(made: Made) -> None:
    rate_clicks(made)
    made.config = replace(made.config, liked_from={"rating": 1.0})


CASES: list[tuple[str, str, Callable[[Made], None]]] = [
    ("labels", "error", lambda made: made.drop(lambda row: row.get("split") == "train")),
    ("labels", "warning", lose_test_positives),
    ("labels", "warning", lambda made: made.drop(lambda row: row.get("split") == "train" and row["item_id"] != "i0")),
    ("labels", "note", lambda made: made.drop(lambda row: row.get("split") == "test" and row["user_id"] != "u1")),
    ("share of positives", "warning", label_everything),
    ("positives after their engagement", "error", label_after_the_click),
    ("positives after their engagement", "warning", stamp_rows_by_a_nightly_job),
    ("positives at the time of their engagement", "note", label_at_the_click),
    ("positives without an action", "warning", log_no_clicks),
    ("order of the splits", "error", reverse_splits),
    ("requests in two splits", "warning", divide_requests),
    ("events before their item", "warning", describe_items_late),
    ("negatives before any event", "warning", draw_from_the_future),
    ("popularity of negatives", "note", draw_unpopular_negatives),
    ("requests", "note", forget_requests),
    ("requests", "warning", rank_alone),
    ("times in the future", "error", lambda made: shift(made.events[-1:], days=30)),
    ("updates after the last event", "note", lambda made: made.items.append({**ITEMS[0], "time": T0 + timedelta(25)})),
    ("repeated event ids", "error", lambda made: made.events[5].update(event_id="e6")),
    ("repeated events", "warning", lambda made: made.events.extend(dict(row) for row in made.events[3::4])),
    ("contradicting labels", "warning", lambda made: made.events.append({**made.events[0], "label": 0})),
    ("days without events", "note", lambda made: made.drop(lambda row: row["time"].day == 3)),
    ("time unit", "error", lose_all_times),
    ("time unit", "warning", take_positions_for_times),
    ("time unit", "note", round_to_days),
    ("actions at the same time", "note", buy_baskets),
    ("half-lives", "warning", forget_in_minutes),
    ("sizes of users' tables", "warning", keep_three_items),
    ("scenarios without a test", "note", test_in_one_scenario),
    ("scenarios without labels", "note", add_a_scenario),
    ("scenarios without behaviour", "warning", add_a_scenario),
    ("scenarios without description", "warning", add_a_scenario),
    ("users in one scenario only", "warning", every_user_at_home),
    ("labelled users without behaviour", "note", label_strangers),
    ("items without text", "warning", bare(title="")),
    ("items without categories", "note", bare(categories=[])),
    ("items without price", "note", bare(price=None)),
    ("items without events", "note", lambda made: made.items.append({**made.items[0], "item_id": "unseen"})),
    ("events without weight", "warning", ignore_clicks),
    ("values without a threshold", "warning", rate_clicks),
    ("thresholds of values", "warning", like_everything),
    ("attributes not declared", "warning", add_an_attribute),
    ("declared attributes without values", "warning", lose_context_of_labelled_rows),
    ("declared attributes without values", "warning", misspell_an_attribute),
    ("labelled rows with attributes", "note", lose_context_of_some),
    ("attributes that tell the label", "error", leak_by_an_attribute),
    ("attributes that tell the label", "error", leak_by_having_an_attribute),
    ("attributes that tell the label", "error", leak_by_a_category),
    ("labelled rows with attributes", "warning", lose_a_category_of_some),
    ("texts for the encoder", "warning", bare(title="བོད་ཇ")),
    ("users' attributes and categories not declared", "warning", give_genres),
    (
        "declared users' attributes and categories that are missing",
        "warning",
        lambda made: declare(made, Attribute("age", "user")),
    ),
    ("attributes of another kind than declared", "error", declare_a_number_as_category),
    ("values outside a vocabulary", "warning", declare_another_vocabulary),
]
"""Check, level, and the defect that trips it."""


def test_a_sound_set_trips_no_check() -> None:
    """Every check says ok."""
    assert [] == [(found.name, found.level, found.numbers) for found in sound().check().findings if found.level != "ok"]


def test_every_check_has_a_set_that_trips_it() -> None:
    """A new check needs one."""
    assert {found.name for found in sound().check().findings} == {name for name, _, _ in CASES}


def test_without_labels_no_check_of_labelled_rows_says_ok() -> None:
    """What there is nothing to say of is not said."""
    made = sound()
    for row in made.events:
        row.pop("label", None)
        row.pop("split", None)
    found = {finding.name: finding.level for finding in made.check().findings}
    assert "error" == found["labels"]
    of_labels = (
        "positives",
        "negatives",
        "split",
        "requests",
        "labelled rows",
        "tell the label",
        "declared attributes",
    )
    assert [] == [name for name in found if any(word in name for word in of_labels)]


@pytest.mark.parametrize(("name", "level", "defect"), CASES)
def test_a_defect_trips_its_check(name: str, level: str, defect: Callable[[Made], None]) -> None:
    """With its level, and words of what to do."""
    made = sound()
    defect(made)
    found = finding(made.check(), name)
    assert level == found.level, found
    assert found.meaning != finding(sound().check(), name).meaning
