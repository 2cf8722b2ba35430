"""How labelled rows are split if the data has no splits."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa

from export.datasets.splits import assign_splits
from export.datasets.tables import EVENTS, from_columns
from services.settings.training import DatasetSettings

T0 = datetime(2026, 1, 1, tzinfo=UTC)


def splits(users: list[str], requests: list[str | None] | None = None, **settings: Any) -> list[str | None]:
    """Splits of one labelled row per user, a day apart."""
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
    return assign_splits(events, DatasetSettings(**settings), []).column("split").to_pylist()


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
