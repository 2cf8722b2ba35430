"""Ranking requests from a data set."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from export.datasets.errors import DatasetError
from export.datasets.storage import DatasetReader, write_dataset
from export.datasets.tables import TABLES, Dataset, from_columns
from export.harness.data_requests import data_requests
from services.load.workload import UNIFORM, ZIPF, Shape

T0 = datetime(2026, 1, 1, tzinfo=UTC)
USERS = {"busy": 40, "some": 20, "rare": 4}
"""Labelled rows per user."""
ITEMS = [f"item{number}" for number in range(8)]


@pytest.fixture
def reader(tmp_path: Path) -> DatasetReader:
    """Three users with labelled rows in two scenarios, and one without labelled rows."""
    asking = [user for user, rows in USERS.items() for _ in range(rows)]
    events = [
        {
            "event_id": f"e{number}",
            "request_id": f"r{number}",
            "user_id": user,
            "scenario_id": ("shelf", "tv")[number % 2],
            "item_id": ITEMS[number % 8],
            "type": "candidate",
            "time": T0 + timedelta(minutes=number),
            "label": number % 2,
            "split": "train",
        }
        for number, user in enumerate(asking)
    ]
    looked = {"event_id": "l", "user_id": "looker", "scenario_id": "shelf", "item_id": ITEMS[0], "type": "click"}
    events.append({**looked, "time": T0 + timedelta(days=1)})
    described = {"time": T0, "title": "an item", "categories": ["drinks"], "attributes": []}
    items = [{"item_id": item, **described} for item in ITEMS]
    scenarios = [{"scenario_id": name, "time": T0, "name": name, "description": name} for name in ("shelf", "tv")]
    tables = [
        from_columns(spec, {c.name: [row.get(c.name) for row in rows] for c in spec.columns}, len(rows))
        for spec, rows in zip(TABLES, (events, items, scenarios), strict=True)
    ]
    write_dataset(Dataset(*tables), tmp_path / "made", {})
    return DatasetReader(tmp_path / "made")


def test_requests_use_users_items_and_scenarios_of_labelled_rows(reader: DatasetReader) -> None:
    """At the time of the last labelled row, with distinct candidates."""
    asked = data_requests(reader, Shape(requests=200, candidates=5, users=UNIFORM))
    assert 200 == len(asked)
    assert set(USERS) == {request.user_id for request in asked}
    assert {"shelf", "tv"} == {request.scenario_id for request in asked}
    assert set(ITEMS) == {item for request in asked for item in request.item_ids}
    assert {5} == {len(set(request.item_ids)) for request in asked}
    assert {T0 + timedelta(minutes=63)} == {request.request_time.ToDatetime(tzinfo=UTC) for request in asked}


def test_zipf_users_follow_their_activity(reader: DatasetReader) -> None:
    """The second user half as often as the first, the third a third as often; uniform ones equally often."""
    shares = {}
    for users in (ZIPF, UNIFORM):
        counts = Counter(request.user_id for request in data_requests(reader, Shape(3000, 1, users)))
        shares[users] = [counts[user] / 3000 for user in USERS]
    assert [6 / 11, 3 / 11, 2 / 11] == pytest.approx(shares[ZIPF], abs=0.03)
    assert [1 / 3] * 3 == pytest.approx(shares[UNIFORM], abs=0.03)


def test_a_seed_makes_the_requests(reader: DatasetReader) -> None:
    first, again, other = (data_requests(reader, Shape(20, 3, ZIPF, seed)) for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_more_candidates_than_items_are_rejected(reader: DatasetReader) -> None:
    with pytest.raises(DatasetError, match="--candidates: 9 is more than the 8 items"):
        data_requests(reader, Shape(candidates=9))
