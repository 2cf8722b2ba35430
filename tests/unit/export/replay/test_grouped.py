"""Steps that are folded together give what the slow, obvious replay gives: one step after the other. To the bit."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from export.replay import replay as replay_module
from export.replay.history import DatasetHistory, ItemScenarios
from export.replay.offline_rows import OfflineRecorder
from export.replay.replay import Replay
from export.rows import writer as writer_module
from export.rows.requests import LabelledRequests, Snapshots
from export.rows.writer import TrainingRowsWriter
from services.features.attributes import SLOTS
from services.features.catalogue import ItemState, ScenarioState
from services.features.config import DAY_S, HOUR_S, Attribute, FeatureConfig
from services.features.event_types import EVENT_TYPE_TABLE, EVENT_TYPES
from services.features.events import Events
from services.features.hashing import keys64
from services.features.item_vectors import ItemVectors, no_vectors
from services.features.profile import ProfileUpdates
from services.features.schema import Schema, build_schema
from services.store.columns import ColumnRowStore
from services.store.protocol import read_block, read_rows
from services.text.protocol import HashingEncoder

T0 = 1_650_000_000.0
END_S = T0 + 60 * DAY_S
ROUNDED_S = 2.0**30 - 20 * DAY_S
"""Times in the 20 days from here are finer numbers than later ones: to move them would round them."""

SOURCES = ("home", "mail", "shelf")
WORDS = ("red", "green", "tea", "cup", "pot", "big", "small")
CONFIG = FeatureConfig(
    half_lives_s=(HOUR_S, 7 * DAY_S),
    text_dims=16,
    user_items=6,
    user_scenario_items=4,
    user_facets=5,
    user_scenario_facets=4,
    event_ids=5,
    attributes=(
        Attribute("placed", "item_scenario"),
        Attribute("weight", "item", "log1p"),
        Attribute("hour", "context"),
        Attribute("age", "user"),
        Attribute("tastes", "user", kind="categories", values=WORDS),
    ),
    liked_from={"rating": 4.0, "click": 5.0},
)
SCHEMA = build_schema(CONFIG)


def vectors_of(items: int, seed: int) -> ItemVectors:
    """Vectors of some of the items."""
    random, dims = np.random.default_rng(seed), CONFIG.item_vectors
    key = np.sort(keys64(f"i{number}" for number in range(items)))
    return replace(
        no_vectors(CONFIG),
        key=key,
        vector=random.normal(size=(items, dims + 1)).astype(np.float32),
        users=random.integers(1, 9, items).astype(np.float32),
        text_vector=random.normal(size=(CONFIG.text_dims + 1, dims + 1)).astype(np.float32),
    )


PERIODS = (no_vectors(CONFIG), vectors_of(6, 0), vectors_of(10, 1))


def vectors_at(time_s: float) -> ItemVectors:
    """None at first, then two periods with vectors of their own."""
    return PERIODS[int((time_s > T0 + 5 * DAY_S) + (time_s > T0 + 20 * DAY_S))]


def words(random: np.random.Generator) -> str:
    return " ".join(random.choice(WORDS, 3))


def random_history(
    seed: int, events: int, requests: int, *, users: int = 9, instants: int = 0, start_s: float = T0
) -> DatasetHistory:
    """Events, requests and updates at times of their own, or at few common `instants`."""
    random = np.random.default_rng(seed)

    def times(count: int) -> np.ndarray:
        whole = random.integers(0, 40 * 86_400_000, count)
        return np.sort(start_s + (whole if not instants else whole % instants * 3_600_000 * 7) / 1000)

    def names(prefix: str, count: int, of: int) -> np.ndarray:
        return np.array([f"{prefix}{number}" for number in random.integers(0, of, count)], object)

    types = random.integers(0, len(EVENT_TYPES), events)
    has_item = np.array([EVENT_TYPE_TABLE[kind].needs_item for kind in types])
    item_times, pair_times = times(30), times(20)
    return DatasetHistory(
        behavior=Events(
            user=names("u", events, users),
            scenario=np.array(random.choice(SOURCES, events), object),
            item=np.where(has_item, names("i", events, 12), ""),
            type=types,
            time_s=times(events),
            value=np.where(random.random(events) < 0.7, random.uniform(0, 9, events).round(2), np.nan),
            event_key=keys64(f"e{number}" for number in random.integers(0, events, events)),
            position=np.array([(0, 0, number) for number in range(events)], np.int64).reshape(events, 3),
            item_key=np.zeros(events, np.int64),
            facet_key=np.zeros((events, len(CONFIG.facets)), np.int64),
            text_vector=np.zeros((events, CONFIG.text_dims)),
        ),
        behavior_text=np.array([words(random) if random.random() < 0.2 else "" for _ in range(events)], object),
        requests=LabelledRequests(
            request_id=names("r", requests, requests + 1),
            user=names("u", requests, users + 2),
            scenario=np.array(random.choice(SOURCES, requests), object),
            item=names("i", requests, 14),
            label=random.integers(0, 2, requests),
            split=np.array(random.choice(["train", "test"], requests), object),
            time_s=times(requests),
            context=random.uniform(0, 24, (requests, 1)),
        ),
        items=[
            (
                f"i{random.integers(0, 12)}",
                ItemState(
                    time_s=float(time_s),
                    title=words(random),
                    categories=tuple(random.choice(WORDS, int(random.integers(0, 4)))),
                    brand=str(random.choice(WORDS)),
                    price=float(random.integers(-1, 5)),
                    attributes={"weight": float(random.uniform(0, 9))},
                ),
            )
            for time_s in item_times
        ],
        item_scenarios=ItemScenarios(
            names("i", 20, 12),
            np.array(random.choice(SOURCES, 20), object),
            pair_times,
            random.uniform(0, 3, (20, 1)),
        ),
        users=ProfileUpdates(
            user=names("u", 40, users + 2),
            time_s=times(40),
            attributes=random.uniform(0, 90, (40, 1)),
            category_keys=np.array([keys64(random.choice([*WORDS, ""], SLOTS)) for _ in range(40)]),
            position=np.zeros((40, 3), np.int64),
        ),
        scenarios=[
            *((source, ScenarioState(start_s, source, words(random))) for source in SOURCES),
            ("mail", ScenarioState(start_s + 20 * DAY_S, "mail", words(random))),
        ],
    )


def slow(replay: Replay, recorder: OfflineRecorder, writer: TrainingRowsWriter, store: ColumnRowStore) -> None:
    """One step after the other, the requests of each time alone."""

    def on_requests(_: float, requests: LabelledRequests) -> None:
        writer.add(store, requests)
        recorder.flush()

    replay.run(END_S, on_requests)


def fast(replay: Replay, _: OfflineRecorder, writer: TrainingRowsWriter, __: ColumnRowStore) -> None:
    replay.run_grouped(END_S, lambda requests, rows, stamp: writer.add_moments(rows, requests, stamp))


Way = Callable[[Replay, OfflineRecorder, TrainingRowsWriter, ColumnRowStore], None]


def replay_into(out: Path, past: DatasetHistory, way: Way, schema: Schema = SCHEMA) -> ColumnRowStore:
    store, encoder = ColumnRowStore(schema), HashingEncoder(CONFIG.text_dims)
    recorder = OfflineRecorder(store, schema, out / "offline", 0.5)
    with recorder, TrainingRowsWriter(out / "rows", schema, encoder.fingerprint, SOURCES, {}, vectors_at) as writer:
        way(Replay(past, schema, encoder, store, recorder), recorder, writer, store)
    return store


def assert_same_files(left: Path, right: Path) -> None:
    """Equal training rows with equal row groups, and equal row versions in any order."""
    for name in ("rows", "contexts", "moments", "texts"):
        files = [pq.ParquetFile(out / "rows" / f"{name}.parquet") for out in (left, right)]
        assert files[0].read().equals(files[1].read()), name
        if name != "texts":
            groups = [[f.metadata.row_group(n).num_rows for n in range(f.metadata.num_row_groups)] for f in files]
            assert groups[0] == groups[1]
    for view in SCHEMA.views:
        tables = [pq.read_table(out / "offline" / f"{view.name}.parquet").to_pylist() for out in (left, right)]
        assert sorted(map(repr, tables[0])) == sorted(map(repr, tables[1])), view.name


def assert_same_rows(left: ColumnRowStore, right: ColumnRowStore) -> None:
    for view in SCHEMA.views:
        keys = sorted(left.ids(view))
        assert keys == sorted(right.ids(view))
        one, other = (read_block(store, view, keys) for store in (left, right))
        for name, column in one.fixed.items():
            np.testing.assert_array_equal(column, other.fixed[name], err_msg=f"{view.name} {name}")
        for name, ragged in one.ragged.items():
            np.testing.assert_array_equal(ragged.lengths, other.ragged[name].lengths, err_msg=f"{view.name} {name}")
            np.testing.assert_array_equal(ragged.values, other.ragged[name].values, err_msg=f"{view.name} {name}")


@pytest.mark.parametrize(
    ("seed", "events", "requests", "instants", "together"),
    [
        pytest.param(0, 300, 100, 0, 8192, id="more events than requests"),
        pytest.param(1, 100, 200, 0, 40, id="more requests than events"),
        pytest.param(2, 400, 200, 60, 8192, id="several events and requests at a time"),
        pytest.param(3, 300, 300, 7, 40, id="many events and requests at a time"),
        pytest.param(4, 0, 60, 0, 8192, id="no events"),
    ],
)
def test_steps_together_equal_steps_one_by_one(
    seed: int, events: int, requests: int, instants: int, together: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Training rows, offline rows and the store, with updates, queries, repeats and evictions in between."""
    monkeypatch.setattr(replay_module, "GROUP_ROWS", together)
    monkeypatch.setattr(replay_module, "STEP_ROWS", min(together, 256))
    monkeypatch.setattr(writer_module, "GROUP_ROWS", 100)
    monkeypatch.setattr(writer_module, "MOMENT_ROWS", 64)
    past = random_history(seed, events, requests, instants=instants)
    stores = [replay_into(tmp_path / way.__name__, past, way) for way in (slow, fast)]
    assert_same_files(tmp_path / "slow", tmp_path / "fast")
    assert_same_rows(*stores)


def test_times_that_cannot_be_moved_are_encoded_one_by_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rows are the same to the bit even so."""
    past, alone = random_history(6, 150, 100, start_s=ROUNDED_S), 0
    add = TrainingRowsWriter._add

    def count(writer: TrainingRowsWriter, rows: Snapshots, requests: LabelledRequests, stamp: np.ndarray) -> None:
        nonlocal alone
        alone += len(stamp) == 1
        add(writer, rows, requests, stamp)

    replay_into(tmp_path / "slow", past, slow)
    monkeypatch.setattr(TrainingRowsWriter, "_add", count)
    replay_into(tmp_path / "fast", past, fast)
    assert_same_files(tmp_path / "slow", tmp_path / "fast")
    assert 50 < alone


def test_many_scenarios_are_replayed_one_by_one(tmp_path: Path) -> None:
    """Where a user has more scenarios than are kept, the weakest are removed as they are in the stream."""
    schema = build_schema(replace(CONFIG, user_scenarios=2))
    past = random_history(7, 120, 60, users=3)
    stores = [replay_into(tmp_path / way.__name__, past, way, schema) for way in (slow, fast)]
    assert_same_files(tmp_path / "slow", tmp_path / "fast")
    assert_same_rows(*stores)
    assert {2} == {len(row["scenario_ids"]) for row in read_rows(stores[1], schema["user"], [("u0",), ("u1",)]) if row}
