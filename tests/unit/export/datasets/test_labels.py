"""Labels by settings: which rows are positive or negative, and the time of each row."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pytest

from export.datasets.errors import DatasetError
from export.datasets.jsonl import load_jsonl
from export.datasets.tables import Dataset
from export.datasets.validation import validate_dataset, validate_order
from services.settings.training import DatasetSettings

T0 = 1_767_225_600_000
HOUR = 3_600_000


def event(kind: str, time: int, item: str = "a", user: str = "u", **more: Any) -> dict[str, Any]:
    return {"user_id": user, "scenario_id": "tv", "item_id": item, "type": kind, "time": T0 + time, **more}


def labelled_dataset(
    directory: Path, events: list[dict[str, Any]], items: list[dict[str, Any]] | None = None, **settings: Any
) -> Dataset:
    (directory / "events.jsonl").write_text("".join(json.dumps(row) + "\n" for row in events))
    (directory / "items.jsonl").write_text("".join(json.dumps(row) + "\n" for row in items or []))
    dataset = load_jsonl(source=directory, settings=DatasetSettings(**settings))
    validate_dataset(dataset)
    validate_order(dataset)
    return dataset


def labels(dataset: Dataset) -> list[tuple[str, str, int, int]]:
    """Labelled rows as (user, item, milliseconds since T0, label)."""
    rows = [row for row in dataset.events.to_pylist() if row["label"] is not None]
    return sorted(
        (row["user_id"], row["item_id"], round(row["time"].timestamp() * 1000) - T0, row["label"]) for row in rows
    )


LATER = event("click", 10 * HOUR, item="z", user="later")


def test_impressions_are_positive_where_an_engagement_follows_in_the_window(tmp_path: Path) -> None:
    """A click in the window counts for the latest impression; one later, earlier or in another scenario does not."""
    events = [
        event("impression", 0, "a"),
        event("impression", 1000, "a"),
        event("click", 2000, "a"),
        event("impression", 0, "b"),
        event("click", HOUR + 1, "b"),
        event("click", 0, "c"),
        event("impression", 1, "c"),
        event("impression", 5, "d"),
        event("click", 6, "d", scenario_id="phone"),
        event("impression", 7, "e"),
        event("click", 7, "e"),
        LATER,
    ]
    dataset = labelled_dataset(tmp_path, events, label_events=("click",))
    expected = [("u", "a", 0, 0), ("u", "a", 1000, 1), ("u", "b", 0, 0), ("u", "c", 1, 0), ("u", "d", 5, 0)]
    assert [*expected, ("u", "e", 7, 1)] == labels(dataset)
    assert "labelled 6 impressions, 33.3% positive" in dataset.remarks[0]
    assert "split 80/10/10 by time" in dataset.remarks[1]
    assert "4 engagements have no impression" in dataset.warnings[-1]


def test_impressions_at_the_end_have_no_label(tmp_path: Path) -> None:
    """An impression whose window reaches beyond the end of the data gets no label."""
    events = [event("impression", 0), event("click", 1), event("impression", 9 * HOUR + 1, "b"), LATER]
    dataset = labelled_dataset(tmp_path, events, label_events=("click",))
    assert [("u", "a", 0, 1)] == labels(dataset)
    with pytest.raises(DatasetError, match=r"dataset\.label_window_s: all 2 impressions are in the last 86400 s"):
        labelled_dataset(tmp_path, events, label_events=("click",), label_window_s=86_400)


def test_impressions_of_one_moment_are_one_request(tmp_path: Path) -> None:
    """Impressions without a request id are grouped by user, scenario and moment; given ids stay."""
    events = [
        *(event("impression", 0, item) for item in "ab"),
        event("impression", 1, "c", request_id="r"),
        event("click", 2, "a"),
        LATER,
    ]
    rows = labelled_dataset(tmp_path, events, label_events=("click",)).events.to_pylist()
    requests = Counter(row["request_id"] for row in rows if row["label"] is not None)
    assert {f"shown\x1fu\x1ftv\x1f{T0}": 2, "r": 1} == requests


def test_requests_of_different_users_stay_apart(tmp_path: Path) -> None:
    """Whatever characters ids may hold: user a/b in c is not user a in b/c."""
    events = [
        *({**event("impression", 0, item), "user_id": "a/b", "scenario_id": "c"} for item in "xy"),
        *({**event("impression", 0, item), "user_id": "a", "scenario_id": "b/c"} for item in "xy"),
        event("click", 9 * HOUR, "y"),
        *(event("impression", 0, item) for item in "xy"),
        event("click", 1, "y"),
    ]
    dataset = labelled_dataset(tmp_path, events, label_events=("click",))
    found = dataset.events.filter(pc.is_valid(dataset.events["label"]))
    assert [2, 2, 2] == list(Counter(found["request_id"].to_pylist()).values())


def test_an_impression_alone_in_its_moment_has_no_request(tmp_path: Path) -> None:
    """A log of one impression at a time: the rows are grouped by day, as ratings are."""
    events = [*(event("impression", n, f"i{n}") for n in range(3)), event("click", 5, "i0"), LATER]
    dataset = labelled_dataset(tmp_path, events, label_events=("click",))
    assert 3 == len(labels(dataset))
    assert {None} == set(dataset.events["request_id"].to_pylist())


def test_ratings_are_candidates_before_the_first_engagement(tmp_path: Path) -> None:
    """Without impressions each rating is a labelled row, 1 ms before the user's first engagement with the item."""
    events = [
        event("click", 500, "a"),
        event("rating", 1000, "a", value=4.0),
        event("rating", 2000, "b", value=3.9),
        event("rating", 3000, "c", value=-1.0),
    ]
    dataset = labelled_dataset(tmp_path, events, label_events=("rating",), rating_threshold=4)
    assert [("u", "a", 499, 1), ("u", "b", 1999, 0), ("u", "c", 2999, 0)] == labels(dataset)
    assert 4 == sum(kind != "candidate" for kind in dataset.events["type"].to_pylist())


def test_one_decision_makes_one_row(tmp_path: Path) -> None:
    """Click, cart and purchase within the window are one positive; the next window begins another."""
    kinds = [("click", 0), ("add_to_cart", 60_000), ("purchase", HOUR), ("purchase", HOUR + 1), ("click", 9 * HOUR)]
    events = [event(kind, time) for kind, time in kinds] + [event("click", 0, "b"), event("click", 0, "c")]
    dataset = labelled_dataset(
        tmp_path, events, label_events=("purchase",), negatives="sampled", negatives_per_positive=1
    )
    assert [time for _, item, time, label in labels(dataset) if label] == [-1, HOUR]
    assert {"a"} == {item for _, item, _, label in labels(dataset) if label}


@pytest.mark.parametrize("sampling", ["uniform", "popularity"])
def test_sampled_negatives_existed_and_are_not_engaged_with(tmp_path: Path, sampling: str) -> None:
    """Negatives are distinct, older than the row, and not engaged with by the user within the window."""
    rng = np.random.default_rng(0)
    items = [{"item_id": f"i{n}", "time": T0 + n * HOUR, "title": "x"} for n in range(40)]
    events = []
    for _ in range(400):
        time = int(rng.integers(1, 60 * HOUR))
        known = min(time // HOUR, 39)
        events.append(event("click", time, f"i{rng.integers(0, known + 1)}", f"u{rng.integers(0, 10)}"))
    settings = {"label_events": ("click",), "negatives": "sampled", "negative_sampling": sampling}
    dataset = labelled_dataset(tmp_path, events, items, **settings)
    clicks = {(e["user_id"], e["item_id"], e["time"] - T0) for e in events}
    rows = labels(dataset)
    negatives = [row for row in rows if not row[3]]
    assert len(negatives) > 1000
    for user, item, time, _ in negatives:
        assert int(item[1:]) * HOUR <= time
        assert not any(u == user and i == item and time <= t <= time + HOUR for u, i, t in clicks)
    requests: dict[str, list[str]] = {}
    for row in dataset.events.to_pylist():
        if row["type"] == "candidate":
            requests.setdefault(row["request_id"], []).append(row["item_id"])
    assert all(len(set(shown)) == len(shown) <= 5 for shown in requests.values())
    assert rows == labels(labelled_dataset(tmp_path, events, items, **settings))
    assert rows != labels(labelled_dataset(tmp_path, events, items, **settings, seed=1))


def test_popular_items_are_drawn_more_often(tmp_path: Path) -> None:
    """Popularity counts engagements before the row; one bestseller fills most draws."""
    hits = [event("click", n, "hit", f"fan{n}") for n in range(200)]
    rest = [event("click", 10 * HOUR, f"i{n}", f"u{n}") for n in range(50)]
    items = [{"item_id": f"i{n}", "time": T0, "title": "x"} for n in range(50)]
    settings = {"label_events": ("click",), "negatives": "sampled", "negatives_per_positive": 1}
    shares = []
    for sampling in ("uniform", "popularity"):
        drawn = [
            row[1]
            for row in labels(labelled_dataset(tmp_path, hits + rest, items, negative_sampling=sampling, **settings))
            if not row[3] and row[0].startswith("u")
        ]
        shares.append(drawn.count("hit") / len(drawn))
    assert shares[0] < 0.2
    assert shares[1] > 0.6


def test_the_order_of_candidates_does_not_reveal_labels(tmp_path: Path) -> None:
    """Positives are not placed first in their requests."""
    events = [event("click", n * HOUR, f"i{n % 20}", f"u{n}") for n in range(200)]
    dataset = labelled_dataset(tmp_path, events, label_events=("click",), negatives="sampled")
    first: dict[str, int] = {}
    for row in dataset.events.to_pylist():
        if row["type"] == "candidate":
            first.setdefault(row["request_id"], row["label"])
    assert 0.1 < np.mean(list(first.values())) < 0.35


def test_a_small_catalogue_gives_fewer_negatives(tmp_path: Path) -> None:
    """Where there are no other items, negatives are missing and counted."""
    events = [event("click", 0, "a"), event("click", 5 * HOUR, "b")]
    dataset = labelled_dataset(tmp_path, events, label_events=("click",), negatives="sampled")
    assert [("u", "a", -1, 1), ("u", "a", 5 * HOUR - 1, 0), ("u", "b", 5 * HOUR - 1, 1)] == labels(dataset)
    assert any("7 of 8 negatives could not be drawn" in warning for warning in dataset.warnings)


@pytest.mark.parametrize("sampling", ["uniform", "popularity", "mixed"])
@pytest.mark.parametrize("described", [False, True])
def test_an_item_without_a_time_is_no_negative_before_its_first_event(
    tmp_path: Path, sampling: str, described: bool
) -> None:
    """Late items: nothing says that they existed before their first event, with or without a row of their own."""
    rng = np.random.default_rng(0)
    events = [event("click", n * HOUR, f"i{rng.integers(0, 1 + n // 4)}", f"u{n % 9}") for n in range(400)]
    items = [{"item_id": f"i{n}", "title": "x"} for n in range(130)] if described else None
    dataset = labelled_dataset(
        tmp_path, events, items, label_events=("click",), negatives="sampled", negative_sampling=sampling
    )
    first: dict[str, int] = {}
    for row in events:
        first.setdefault(row["item_id"], row["time"] - T0)
    negatives = [row for row in labels(dataset) if not row[3]]
    assert len(negatives) > 1000
    assert all(first[item] <= time for _, item, time, _ in negatives)


def test_both_kinds_of_negatives_are_told_apart(tmp_path: Path) -> None:
    """Mixed sampling draws half of the negatives by either rule, and each says by which."""
    events = [event("click", n * HOUR, f"i{n % 20}", f"u{n}") for n in range(200)]
    found = {}
    for sampling in ("uniform", "popularity", "mixed"):
        settings = {"label_events": ("click",), "negatives": "sampled", "negative_sampling": sampling}
        rows = labelled_dataset(tmp_path, events, **settings).events.to_pylist()
        assert {None} == {row["sampling"] for row in rows if row["label"] != 0}
        found[sampling] = Counter(row["sampling"] for row in rows if row["label"] == 0)
    assert {"uniform"} == set(found["uniform"])
    assert {"popularity"} == set(found["popularity"])
    assert abs(found["mixed"]["uniform"] - found["mixed"]["popularity"]) < 10


def test_made_rows_take_the_context_of_their_event(tmp_path: Path) -> None:
    """Rating rows, decisions and their negatives have the scenario and context of the event that makes them."""
    events = [
        event("click", 0, "b", "v"),
        event("rating", HOUR, "a", value=5.0, context={"hour": 3.0}, scenario_id="phone"),
        event("click", 9 * HOUR, "b", context={"hour": 11.0}),
        event("purchase", 9 * HOUR + 5, "b", value=1.0),
        event("click", 20 * HOUR, "a", context={"hour": 22.0}, scenario_id="phone"),
        event("purchase", 20 * HOUR + 5, "a", value=1.0),
    ]
    rated = labelled_dataset(tmp_path, events, label_events=("rating",), rating_threshold=4.0)
    bought = labelled_dataset(tmp_path, events, label_events=("purchase",), negatives="sampled")
    made = {
        (row["scenario_id"], row["label"], row["item_id"], *map(tuple, row["context"] or ()))
        for dataset in (rated, bought)
        for row in dataset.events.to_pylist()
        if row["label"] is not None
    }
    of_rating = {("phone", 1, "a", ("hour", 3.0))}
    of_purchase = {("tv", 1, "b", ("hour", 11.0)), ("tv", 0, "a", ("hour", 11.0)), ("tv", 1, "a"), ("tv", 0, "b")}
    assert of_rating | of_purchase == made


def test_splits_of_ratings_are_those_of_their_rows(tmp_path: Path) -> None:
    """Labels are made, splits are the data's own: each made row has that of its event, negatives too."""
    events = [
        event("rating", n * HOUR, f"i{n % 5}", f"u{n % 3}", value=5.0, split=("train", "test")[n % 2])
        for n in range(40)
    ]
    settings = {"label_events": ("rating",), "rating_threshold": 4.0, "negatives": "sampled"}
    rows = labelled_dataset(tmp_path, events, **settings).events.to_pylist()
    assert {None} == {row["split"] for row in rows if row["label"] is None}
    hours = {(row["time"].hour % 2, row["split"]) for row in rows if row["label"] is not None}
    assert {(1, "train"), (0, "test")} == hours  # a row is 1 ms earlier than its event
    del events[3]["split"]
    with pytest.raises(DatasetError, match=r"column split: \d+ of \d+ labelled rows get none; set it on every event"):
        labelled_dataset(tmp_path, events, **settings)
    events[3]["split"] = "holdout"
    with pytest.raises(DatasetError, match=r"events\.jsonl:4, column split: is none of train, validation, test"):
        labelled_dataset(tmp_path, events, **settings)


def test_rows_before_their_item_existed_are_dropped(tmp_path: Path) -> None:
    """An item described from its first event on cannot have been ranked before it."""
    events = [event("click", 0, "a"), event("click", 5 * HOUR, "a")]
    items = [{"item_id": "a", "time": T0, "title": "x"}, {"item_id": "b", "time": T0, "title": "y"}]
    dataset = labelled_dataset(tmp_path, events, items, label_events=("click",), negatives="sampled")
    assert [("u", "a", 5 * HOUR - 1, 1), ("u", "b", 5 * HOUR - 1, 0)] == labels(dataset)
    assert any("1 labelled rows are dropped" in warning for warning in dataset.warnings)


def test_labels_of_the_data_have_precedence(tmp_path: Path) -> None:
    """Settings change no given label, and a warning reports that."""
    events = [event("impression", 0, label=0), event("click", 1)]
    dataset = labelled_dataset(tmp_path, events, label_events=("click",))
    assert [("u", "a", 0, 0)] == labels(dataset)
    assert "the events have labels: dataset.label_events is not applied" == dataset.warnings[0]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"label_events": ("click",)}, r'dataset\.negatives: "shown" needs impressions'),
        ({"label_events": ("purchase",)}, r"dataset\.label_events: no event of purchase is positive"),
    ],
)
def test_settings_that_do_not_fit_the_data_are_named(tmp_path: Path, settings: dict[str, Any], message: str) -> None:
    """Nothing is guessed: the error names the setting."""
    with pytest.raises(DatasetError, match=message):
        labelled_dataset(tmp_path, [event("click", 0)], **settings)
