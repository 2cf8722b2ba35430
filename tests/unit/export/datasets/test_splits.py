"""How labelled rows are split if the data has no splits."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest

from export.datasets.splits import assign_splits, describe_split
from export.datasets.tables import EVENTS, from_columns
from services.settings.training import DatasetSettings

T0 = datetime(2026, 1, 1, tzinfo=UTC)


def splits(users: list[str], requests: list[str | None] | None = None, **settings: Any) -> list[str | None]:
    """Splits of one labelled row per user, a day apart."""
    return split_table(users, requests, [], **settings).column("split").to_pylist()


def split_table(users: list[str], requests: list[str | None] | None, warnings: list[str], **settings: Any) -> pa.Table:
    """The events with splits."""
    count = len(users)
    events = from_columns(
        EVENTS,
        {
            "event_id": [f"e{n}" for n in range(count)],
            "user_id": users,
            "scenario_id": ["s"] * count,
            "item_id": ["i"] * count,
            "type": ["impression"] * count,
            "time": pa.array([T0 + timedelta(days=n) for n in range(count)], EVENTS.column("time").type),
            "label": [1] * count,
            "request_id": requests,
        },
        count,
    )
    return assign_splits(events, DatasetSettings(**settings), warnings)


def test_shares_of_time() -> None:
    """The settings' shares are quantiles of the labelled rows' times."""
    assert ["train"] * 5 + ["validation"] * 3 + ["test"] * 2 == splits(
        ["u"] * 10, train_share=0.5, validation_share=0.3
    )


def test_given_times() -> None:
    """From a time on, inclusive, rows validate or test; a request is in the split of its first row."""
    moments = {"validation_from": T0 + timedelta(days=2), "test_from": T0 + timedelta(days=3)}
    assert ["train", "train", "validation", "test"] == splits(["u"] * 4, **moments)
    assert ["train", "train", "validation", "train"] == splits(["u"] * 4, [None, "r", None, "r"], **moments)


def test_users_stay_in_one_split() -> None:
    """A user's rows are all in one split; shares hold roughly; the seed chooses."""
    users = [f"u{n % 300}" for n in range(900)]
    found = splits(users, split="user", train_share=0.6, validation_share=0.2)
    assert 300 == len(set(zip(users, found, strict=True)))
    assert 0.5 < found.count("train") / 900 < 0.7
    assert 0.12 < found.count("test") / 900 < 0.28
    assert found != splits(users, split="user", train_share=0.6, validation_share=0.2, seed=1)


def test_random_shares_are_exact() -> None:
    """8:1:1 of 3,000 rows: 2,400, 300 and 300 of them, the same each time, others with another seed."""
    users = [f"u{n % 7}" for n in range(3000)]
    found = splits(users, split="random")
    assert {"train": 2400, "validation": 300, "test": 300} == Counter(found)
    assert found == splits(users, split="random")
    assert found != splits(users, split="random", seed=1)
    for part in (found[:1500], found[1500:]):
        assert 0.7 < part.count("train") / 1500 < 0.9


def test_a_request_is_not_split_at_random() -> None:
    """Its rows stay together; rows grouped by day only for metrics are split one by one."""
    requests: list[str | None] = [f"r{n // 5}" for n in range(1000)]
    found = list(zip(requests, splits(["u"] * 1000, requests, split="random"), strict=True))
    assert 200 == len(set(found))
    by_day: list[str | None] = [f"day\x1fu\x1fs\x1f{n // 500}" for n in range(1000)]
    assert {"train": 800, "validation": 100, "test": 100} == Counter(splits(["u"] * 1000, by_day, split="random"))


def test_each_users_last_rows_are_tested_on() -> None:
    """Of ten rows the last tests and the one before validates; of two one tests; a single one trains."""
    users = [name for _ in range(10) for name in ("a", "b")] + ["c", "d", "c", "e", "e", "e"]
    found = splits(users, split="user_time")
    of = {name: [s for u, s in zip(users, found, strict=True) if u == name] for name in "abcde"}
    assert ["train"] * 8 + ["validation", "test"] == of["a"] == of["b"]
    assert [["train", "test"], ["train"], ["train", "validation", "test"]] == [of["c"], of["d"], of["e"]]


@pytest.mark.parametrize("method", ["time", "user", "random", "user_time"])
def test_splits_are_named_in_one_order(method: str) -> None:
    """Train, validation, test, whichever comes first in the data."""
    warnings: list[str] = []
    split_table([f"u{n % 40}" for n in range(400)], None, warnings, split=method, seed=3)
    assert warnings[0].endswith("into train, validation, test")
    assert describe_split(DatasetSettings(split=method)) in warnings[0]
