"""Erased users: recorded beside a data set, and removed from everything derived from it."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from export.datasets.erasures import add_erasure, drop_erased_events, read_erasures
from export.datasets.errors import DatasetError
from export.datasets.registry import import_dataset
from export.datasets.storage import DatasetReader
from export.datasets.tables import ERASURES, EVENTS, from_columns
from export.replay.history import behavior_chunks, load_history
from export.replay.offline_rows import OfflineRecorder
from export.replay.replay import Replay
from services.features.config import FeatureConfig
from services.features.schema import build_schema
from services.store.memory import MemoryRowStore
from services.text.protocol import HashingEncoder

SCHEMA = build_schema(FeatureConfig())


def at(hour: int) -> datetime:
    return datetime(2026, 1, 1, hour, tzinfo=UTC)


def put(directory: Path, name: str, rows: list[dict[str, Any]]) -> None:
    text = "".join(json.dumps({**row, "time": row["time"].isoformat()}) + "\n" for row in rows)
    (directory / f"{name}.jsonl").write_text(text)


def event(user: str, hour: int, kind: str = "click") -> dict[str, Any]:
    labelled = {"label": 1, "split": "train", "request_id": f"{user}-{hour}"} if kind == "candidate" else {}
    return {"user_id": user, "scenario_id": "tv", "item_id": "i", "type": kind, "time": at(hour), **labelled}


def clicks(user: str, *hours: int) -> list[dict[str, Any]]:
    return [event(user, hour) for hour in hours]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Clicks and candidates of two users; one of them was erased at ten."""
    source = tmp_path / "source"
    source.mkdir()
    candidates = [event(user, hour, "candidate") for user in ("ann", "bob") for hour in (10, 12)]
    put(source, "events", [*clicks("ann", 8, 10, 11), *clicks("bob", 9, 11), *candidates])
    put(source, "erasures", [{"user_id": "ann", "time": at(10)}, {"user_id": "stranger", "time": at(23)}])
    return source


@pytest.fixture
def data(source: Path, tmp_path: Path) -> Path:
    out = tmp_path / "data"
    import_dataset("jsonl", out, source=source)
    return out


def users(table: pa.Table) -> list[tuple[str, int]]:
    return sorted((row["user_id"], row["time"].hour) for row in table.to_pylist() if row["type"] == "click")


def test_events_up_to_the_erasure_are_left_out_by_every_reader(data: Path) -> None:
    """As a table, in batches, with some columns only; later events of the user count."""
    reader = DatasetReader(data)
    expected = [("ann", 11), ("bob", 9), ("bob", 11)]
    assert expected == users(reader.table("events"))
    assert expected == users(pa.Table.from_batches(list(reader.batches("events", batch_rows=2))))
    assert expected == users(reader.dataset().events)
    few = reader.table("events", ["type"])
    assert (["type"], 6) == (few.column_names, few.num_rows)
    assert [["label"]] == [
        list(names) for names in {tuple(b.schema.names) for b in reader.batches("events", ["label"], 2)}
    ]
    assert 9 == reader.rows("events")


def test_erased_events_are_in_neither_history_nor_requests(data: Path) -> None:
    """The inputs of training rows, offline rows and a backfill."""
    reader, config = DatasetReader(data), FeatureConfig()
    history = load_history(reader, config)
    assert ["ann", "bob", "bob"] == sorted(history.behavior.user)
    requests = zip(history.requests.user, history.requests.time_s % 86400 // 3600, strict=True)
    assert [("ann", 12), ("bob", 10), ("bob", 12)] == sorted(requests)
    chunks = behavior_chunks(reader, config, np.inf, 0, 1, 2)
    assert 3 == sum(len(events) for events, _ in chunks)


def test_an_erasure_can_be_added_at_any_time(data: Path, tmp_path: Path) -> None:
    """The user is in no row of the next replay, nor in Feast's offline source; the newest erasure counts."""
    add_erasure(data, "ann", at(13).timestamp() + 0.0004567)
    history = load_history(DatasetReader(data), FeatureConfig())
    store = MemoryRowStore()
    with OfflineRecorder(store, SCHEMA, tmp_path / "offline") as recorder:
        Replay(history, SCHEMA, HashingEncoder(64), recorder).run(at(20).timestamp(), lambda *_: recorder.flush())
    assert {("bob",)} == set(store.rows["user"])
    assert {"bob"} == set(history.requests.user)
    for view in ("user", "user_scenario"):
        assert {"bob"} == set(pq.read_table(tmp_path / "offline" / f"{view}.parquet")["user_id"].to_pylist())


def test_a_new_import_keeps_erasures(data: Path, source: Path) -> None:
    """Those of the command line and those of the files, each once, by time."""
    add_erasure(data, "bob", at(11).timestamp())
    import_dataset("jsonl", data, source=source)
    found = [(row["user_id"], row["time"].hour) for row in read_erasures(data).to_pylist()]
    assert [("ann", 10), ("bob", 11), ("stranger", 23)] == found
    assert [("ann", 11)] == users(DatasetReader(data).table("events"))


def test_bad_erasures_are_named_with_file_and_line(source: Path, tmp_path: Path) -> None:
    """Like every other row; nothing is written."""
    put(source, "erasures", [{"user_id": "ann", "time": at(1)}, {"user_id": "", "time": at(2)}])
    with pytest.raises(DatasetError) as caught:
        import_dataset("jsonl", tmp_path / "out", source=source)
    assert ["erasures.jsonl:2, column user_id: is empty"] == [str(problem) for problem in caught.value.problems]
    assert not (tmp_path / "out").exists()


def test_without_erasures_nothing_changes(source: Path, tmp_path: Path) -> None:
    """The file is optional, and none is written."""
    (source / "erasures.jsonl").unlink()
    import_dataset("jsonl", tmp_path / "out", source=source)
    assert 5 == len(users(DatasetReader(tmp_path / "out").table("events")))
    assert not (tmp_path / "out" / "erasures.parquet").exists()
    empty = EVENTS.schema.empty_table()
    assert empty == drop_erased_events(empty, from_columns(ERASURES, {"user_id": ["a"], "time": [at(1)]}, 1))
