"""A synthetic data set in which the scenario depends a little on each of time, device and user."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from export.datasets.storage import DatasetReader, write_dataset
from export.datasets.tables import EVENTS, ITEMS, SCENARIOS, Dataset, from_columns, sort_events
from services.features.config import HOUR_S, Attribute, FeatureConfig

SCENARIOS_OF_ALL = ("desktop", "phone", "tv")
START_S = 1_700_000_000 // 86_400 * 86_400
BIG_SCREEN = np.array([0.7, 0.05, 0.95])
"""Probability of a big screen per scenario."""


def config(attribute: str = "big_screen") -> FeatureConfig:
    return FeatureConfig(text_dims=4, attributes=(Attribute(attribute, "context"),))


def preference(hour: np.ndarray) -> np.ndarray:
    """Log-odds [E, 3] of the scenarios by hour, UTC: desktop in office hours, tv and phone in the evening."""
    office, evening = (hour >= 8) & (hour < 17), hour >= 18
    return np.stack([2.0 * office, 1.0 * evening, 2.0 * evening], axis=1)


def write_devices(
    out: Path, users: int = 200, hours: int = 400, per_hour: int = 40, attribute: str = "big_screen", seed: int = 0
) -> DatasetReader:
    """Clicks of `per_hour` users in each of `hours` hours within 100 days; half of them are training."""
    random = np.random.default_rng(seed)
    moments = np.sort(random.choice(100 * 24, hours, replace=False))
    time_s = np.repeat(START_S + moments * HOUR_S, per_hour)
    user = np.concatenate([random.choice(users, per_hour, replace=False) for _ in moments])
    habit = random.normal(0, 1, (users, 3))
    noise = random.gumbel(size=(len(user), 3))
    scenario = (habit[user] + preference(np.repeat(moments % 24, per_hour)) + noise).argmax(axis=1)
    big = (random.random(len(user)) < BIG_SCREEN[scenario]).astype(float)
    starts = {split: START_S + 100 * 86_400 * share for split, share in _BOUNDS.items()}
    labelled = [(name, at, split) for split, at in starts.items() for name in SCENARIOS_OF_ALL]
    columns = {
        "event_id": [f"e{number}" for number in range(len(user) + len(labelled))],
        "user_id": [*(f"u{number}" for number in user), *["u0"] * len(labelled)],
        "scenario_id": [*(SCENARIOS_OF_ALL[number] for number in scenario), *(name for name, *_ in labelled)],
        "item_id": ["thing"] * (len(user) + len(labelled)),
        "type": [*["click"] * len(user), *["candidate"] * len(labelled)],
        "time": _times([*time_s, *(at for _, at, _ in labelled)]),
        "label": [*[None] * len(user), *[1] * len(labelled)],
        "split": [*[None] * len(user), *(split for *_, split in labelled)],
        "request_id": [*[None] * len(user), *(f"r{number}" for number in range(len(labelled)))],
        "context": [*([(attribute, value)] for value in big), *[None] * len(labelled)],
    }
    things = {
        "item_id": ["thing"] * 2,
        "scenario_id": [None, "tv"],
        "time": _times([START_S] * 2),
        "title": ["thing", None],
        "categories": [[]] * 2,
        "attributes": [[]] * 2,
    }
    names = list(SCENARIOS_OF_ALL)
    described = {"scenario_id": names, "time": _times([START_S] * 3), "name": names, "description": names}
    events = sort_events(from_columns(EVENTS, columns, len(columns["event_id"])))
    dataset = Dataset(events, from_columns(ITEMS, things, 2), from_columns(SCENARIOS, described, 3))
    write_dataset(dataset, out, {})
    return DatasetReader(out)


_BOUNDS = {"train": 0.0, "validation": 0.45, "test": 0.6}
"""The start of each split, as a fraction of the time."""


def _times(seconds: list[float]) -> list[datetime]:
    return [datetime.fromtimestamp(float(second), UTC) for second in seconds]
