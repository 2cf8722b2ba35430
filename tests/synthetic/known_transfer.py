"""A data set with known transfer weights: preferences differ by scenario, and M is how much each counts in the others.

Four scenarios differ in device (phone, tv) and company (alone, together), which their descriptions name.
In scenario j user u likes kind k of items with probability P[u,j,k], independent over j and k. Engagement in
scenario j follows P_j alone; candidates in target i get engagement with probability sum_j M[i,j] P_j / sum_j M[i,j].
Pure numpy until `write_rows`, which goes through the tables, the replay and the feature code as any data set does.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from export.datasets.storage import DatasetReader, write_dataset
from export.datasets.tables import EVENTS, ITEMS, SCENARIOS, Dataset, from_columns, sort_events
from export.replay.history import load_history
from export.replay.replay import Replay
from export.rows.writer import TrainingRowsWriter
from services.features.config import DAY_S, FeatureConfig
from services.features.schema import build_schema
from services.store.memory import MemoryRowStore
from services.text.protocol import HashingEncoder

START_MS = 1_700_000_000_000
DAY_MS = int(DAY_S) * 1000
DEVICES, COMPANIES = ("phone", "tv"), ("alone", "together")
SCENARIO_IDS = [f"{device}_{company}" for device in DEVICES for company in COMPANIES]
SPLITS = ("train", "train", "train", "train", "validation", "test")
"""Split of each round of requests."""

WEIGHTS = {
    # (target's device, same company, same device): weight of the source
    ("phone", True, True): 0.50,
    ("phone", True, False): 0.90,
    ("phone", False, True): 0.25,
    ("phone", False, False): 0.05,
    ("tv", True, True): 0.50,
    ("tv", True, False): 0.25,
    ("tv", False, True): 0.90,
    ("tv", False, False): 0.05,
}
"""The largest weights: on the phone that of TV in the same company; on TV that of TV in the other company."""


@dataclass(frozen=True)
class KnownTransfer:
    """Sizes and seed.

    Args:
        users: number of users.
        kinds: number of kinds (categories) of items; tastes are per kind.
        items_per_kind: items of each kind.
        events_per_round: engagements of a user in each scenario before each round of requests.
        candidates: candidate items per user, scenario and round.
        seed: of everything random.
    """

    users: int = 400
    kinds: int = 8
    items_per_kind: int = 3
    events_per_round: int = 20
    candidates: int = 6
    seed: int = 0


def true_transfer() -> np.ndarray:
    """M [4, 4], target by source, in the order of SCENARIO_IDS."""
    sides = [(device, company) for device in DEVICES for company in COMPANIES]
    return np.array([[WEIGHTS[i[0], i[1] == j[1], i[0] == j[0]] for j in sides] for i in sides])


def tastes(config: KnownTransfer, generator: np.random.Generator) -> np.ndarray:
    """P [users, 4, kinds]: mostly near 0 or 1, so that the scale of preferences cannot replace the weights."""
    return generator.beta(0.25, 0.35, (config.users, len(SCENARIO_IDS), config.kinds))


def engagement(preference: np.ndarray, transfer: np.ndarray) -> np.ndarray:
    """Probability [users, target, kinds] that a candidate is engaged with."""
    mixed = np.einsum("ij,ujk->uik", transfer, preference)
    return mixed / transfer.sum(axis=1)[None, :, None]


def known_dataset(config: KnownTransfer) -> Dataset:
    """The three tables."""
    generator = np.random.default_rng(config.seed)
    preference = tastes(config, generator)
    probability = engagement(preference, true_transfer())
    parts = []
    for number, split in enumerate(SPLITS):
        parts += [_behavior(config, generator, preference, number)]
        parts += [_candidates(config, generator, probability, number, split)]
    return Dataset(sort_events(pa.concat_tables(parts)), _items(config), _scenarios(), {"name": "known transfer"})


def _behavior(config: KnownTransfer, generator: np.random.Generator, preference: np.ndarray, number: int) -> pa.Table:
    """Clicks of a round, each user's in each scenario drawn by taste; on the day before the round's requests."""
    shape = (config.users, len(SCENARIO_IDS), config.events_per_round)
    shares = np.cumsum(preference / preference.sum(axis=2, keepdims=True), axis=2)
    drawn = generator.random(shape)
    kind = (drawn[..., None] > shares[:, :, None, :]).sum(axis=3).clip(0, config.kinds - 1)
    item = kind * config.items_per_kind + generator.integers(config.items_per_kind, size=shape)
    time = START_MS + number * DAY_MS + generator.integers(DAY_MS // 2, size=shape)
    user, scenario, _ = np.indices(shape)
    return _events(f"click-{number}", user, scenario, item, time, "click")


def _candidates(
    config: KnownTransfer, generator: np.random.Generator, probability: np.ndarray, number: int, split: str
) -> pa.Table:
    """Candidates at the end of a round: random items of distinct kinds per user and scenario."""
    shape = (config.users, len(SCENARIO_IDS), config.candidates)
    kind = np.argsort(generator.random((*shape[:2], config.kinds)), axis=2)[..., : config.candidates]
    item = kind * config.items_per_kind + generator.integers(config.items_per_kind, size=shape)
    user, scenario, _ = np.indices(shape)
    label = generator.random(shape) < probability[user, scenario, kind]
    time = np.full(shape, START_MS + number * DAY_MS + DAY_MS * 3 // 4)
    return _events(f"candidate-{number}", user, scenario, item, time, "candidate", label, split)


def _events(
    prefix: str,
    user: np.ndarray,
    scenario: np.ndarray,
    item: np.ndarray,
    time: np.ndarray,
    kind: str,
    label: np.ndarray | None = None,
    split: str | None = None,
) -> pa.Table:
    count = user.size
    ids = {
        "event_id": [f"{prefix}-{n}" for n in range(count)],
        "user_id": [f"u{n}" for n in user.flat],
        "scenario_id": [SCENARIO_IDS[n] for n in scenario.flat],
        "item_id": [f"i{n}" for n in item.flat],
        "type": [kind] * count,
        "time": pa.array(time.reshape(-1), pa.timestamp("ms", "UTC")),
    }
    if label is not None:
        requests = [f"{prefix}-{u}-{s}" for u, s in zip(user.flat, scenario.flat, strict=True)]
        ids |= {"label": label.reshape(-1).astype(np.int8), "split": [split] * count, "request_id": requests}
    return from_columns(EVENTS, ids, count)


def _items(config: KnownTransfer) -> pa.Table:
    kinds = np.repeat(np.arange(config.kinds), config.items_per_kind)
    # The last row is an item in a scenario without attributes, so that both sorts of rows are there.
    count = len(kinds) + 1
    columns = {
        "item_id": [*(f"i{n}" for n in range(len(kinds))), "i0"],
        "scenario_id": [*([None] * len(kinds)), SCENARIO_IDS[0]],
        "time": pa.array(np.full(count, START_MS), pa.timestamp("ms", "UTC")),
        "title": [*(f"kind{kind}" for kind in kinds), None],
        "categories": [*([f"kind{kind}"] for kind in kinds), []],
        "attributes": [[]] * count,
    }
    return from_columns(ITEMS, columns, count)


def _scenarios() -> pa.Table:
    count = len(SCENARIO_IDS)
    columns = {
        "scenario_id": SCENARIO_IDS,
        "time": pa.array(np.full(count, START_MS), pa.timestamp("ms", "UTC")),
        "name": SCENARIO_IDS,
        "description": [scenario.replace("_", " ") for scenario in SCENARIO_IDS],
    }
    return from_columns(SCENARIOS, columns, count)


def write_rows(config: KnownTransfer, directory: Path) -> Path:
    """Write the data set and its training rows below `directory`; returns the directory of the rows."""
    write_dataset(known_dataset(config), directory, {"rows": {}, "arguments": {}})
    features = FeatureConfig(half_lives_s=(3 * DAY_S,), category_levels=1, text_dims=16)
    schema, encoder, store = build_schema(features), HashingEncoder(features.text_dims), MemoryRowStore()
    history = load_history(DatasetReader(directory), features)
    sources = sorted(SCENARIO_IDS)
    with TrainingRowsWriter(directory / "rows", schema, encoder.fingerprint, sources, {"dataset": "known"}) as writer:
        end_s = (START_MS + len(SPLITS) * DAY_MS) / 1000
        Replay(history, schema, encoder, store).run(end_s, lambda _, requests: writer.add(store, requests))
    return directory / "rows"
