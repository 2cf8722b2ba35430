"""Seeded ratings with their own times, as a data set: users rate in sessions, items by popularity, in three scenarios.

Sessions overlap little, so consecutive events are mostly of one user: the hard case for folding events together.
"""

from pathlib import Path

import numpy as np
import pyarrow as pa

from export.datasets.storage import write_dataset
from export.datasets.tables import EVENTS, ITEMS, SCENARIOS, Dataset, from_columns, sort_events

SCENARIO_IDS = ("home", "mobile", "search")
START_MS = 1_600_000_000_000
DAYS = 200
KINDS = 18
SESSION = 20.0
"""Mean ratings of a session."""

GAP_S = 40.0
"""Mean seconds between two ratings of a session."""

RATINGS_PER_USER = 100
RATINGS_PER_ITEM = 60
LIKED = 4.0
"""Ratings from here on are labelled 1."""

SHARES = (0.8, 0.9)
"""Shares of the time where validation and test begin."""


def write_ratings(directory: Path, ratings: int, seed: int = 0) -> None:
    """Write a data set of about one rating per instant; each is a labelled candidate and an event."""
    random = np.random.default_rng(seed)
    users, items = max(ratings // RATINGS_PER_USER, 1), max(ratings // RATINGS_PER_ITEM, KINDS)
    lengths = random.geometric(1 / SESSION, ratings)
    lengths = lengths[: int(np.searchsorted(np.cumsum(lengths), ratings)) + 1]
    session = np.repeat(np.arange(len(lengths)), lengths)[:ratings]
    begins = random.uniform(0, DAYS * 86_400, len(lengths))[session]
    gaps = random.exponential(GAP_S, ratings)
    first = np.searchsorted(session, session)
    since = np.cumsum(gaps) - np.cumsum(gaps)[first]
    time_ms = START_MS + ((begins + since) * 1000).astype(np.int64)
    order = np.argsort(time_ms, kind="stable")
    user = random.integers(0, users, len(lengths))[session][order]
    scenario = random.integers(0, len(SCENARIO_IDS), len(lengths))[session][order]
    item = np.minimum((random.pareto(1.0, ratings) * items / 20).astype(np.int64), items - 1)
    stars = random.integers(1, 6, ratings).astype(np.float64)
    time_ms = time_ms[order]
    bounds = np.quantile(time_ms, SHARES)
    split = np.array(["train", "validation", "test"], object)[np.searchsorted(bounds, time_ms, "right")]
    common = {
        "user_id": pa.array(user).cast(pa.string()),
        "scenario_id": pa.array(np.array(SCENARIO_IDS)[scenario]),
        "item_id": pa.array(item).cast(pa.string()),
        "time": pa.array(time_ms, pa.timestamp("ms", "UTC")),
    }
    numbers = pa.array(np.arange(ratings)).cast(pa.string())
    candidates = from_columns(
        EVENTS,
        {
            **common,
            "event_id": pa.array([f"c{number}" for number in numbers.to_pylist()]),
            "type": ["candidate"] * ratings,
            "label": (stars >= LIKED).astype(np.int8),
            "split": pa.array(split),
            "request_id": [f"r{number}" for number in session[order].tolist()],
        },
        ratings,
    )
    rated = from_columns(EVENTS, {**common, "event_id": numbers, "type": ["rating"] * ratings, "value": stars}, ratings)
    events = pa.concat_tables([candidates, rated])
    events = sort_events(events)
    write_dataset(Dataset(events=events, items=_items(items), scenarios=_scenarios()), directory, {"rows": {}})


def _items(count: int) -> pa.Table:
    kinds = [f"kind {number % KINDS}" for number in range(count)]
    columns = {
        "item_id": [str(number) for number in range(count)],
        "time": pa.array(np.full(count, START_MS), pa.timestamp("ms", "UTC")),
        "title": [f"item {number} of {kind}" for number, kind in enumerate(kinds)],
        "categories": [[kind] for kind in kinds],
        "attributes": [[]] * count,
    }
    return from_columns(ITEMS, columns, count)


def _scenarios() -> pa.Table:
    count = len(SCENARIO_IDS)
    columns = {
        "scenario_id": list(SCENARIO_IDS),
        "time": pa.array(np.full(count, START_MS), pa.timestamp("ms", "UTC")),
        "name": list(SCENARIO_IDS),
        "description": [f"{name} page" for name in SCENARIO_IDS],
    }
    return from_columns(SCENARIOS, columns, count)
