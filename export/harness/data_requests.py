"""Ranking requests of an imported data set's users, items and scenarios, for `crossrec load --data`.

Knows the events table and shapes of workloads; sends nothing.
"""

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from crossrec.ranking.v1 import ranking_pb2
from export.datasets.errors import DatasetError
from export.datasets.storage import DatasetReader
from export.harness.stream import timestamp
from services.load.workload import ZIPF, Shape

COLUMNS = ("user_id", "item_id", "scenario_id", "time", "label")


def data_requests(reader: DatasetReader, shape: Shape) -> list[ranking_pb2.RankRequest]:
    """Seeded requests from the users, items and scenarios of the labelled rows, at the time of the last row.

    Raises DatasetError for a data set without labelled rows, or with fewer items than candidates.
    """
    events = reader.table("events", COLUMNS)
    rows = events.filter(pc.is_valid(events["label"]))
    if not rows.num_rows:
        raise DatasetError(f"{reader.path} has no labelled rows to make requests from")
    users, activity = np.unique(rows["user_id"].to_numpy().astype(str), return_counts=True)
    items, scenarios = (np.unique(rows[name].to_numpy().astype(str)) for name in ("item_id", "scenario_id"))
    if shape.candidates > len(items):
        raise DatasetError(f"--candidates: {shape.candidates} is more than the {len(items)} items of {reader.path}")
    now = timestamp(pc.max(rows["time"]).as_py().timestamp())
    generator = np.random.default_rng(shape.seed)
    chosen = generator.choice(users, shape.requests, p=_probabilities(activity, shape.users))
    return [
        ranking_pb2.RankRequest(
            user_id=str(user),
            scenario_id=str(generator.choice(scenarios)),
            item_ids=items[generator.choice(len(items), shape.candidates, replace=False)].tolist(),
            request_time=now,
        )
        for user in chosen
    ]


def _probabilities(activity: NDArray[np.int64], users: str) -> NDArray[np.float64]:
    """Probability of each user: uniform, or (Zipf) proportional to 1/n for the n-th most active."""
    weights = np.ones(len(activity))
    if users == ZIPF:
        weights[np.argsort(-activity, kind="stable")] = 1 / np.arange(1, len(activity) + 1)
    probabilities: NDArray[np.float64] = weights / weights.sum()
    return probabilities
