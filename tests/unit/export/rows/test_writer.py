"""Training rows on disk: nothing of an interrupted replay is taken for whole."""

from pathlib import Path

import pytest

from export.replay.replay import Replay
from export.rows.reader import RowSource, TrainingRowsError, read_info
from export.rows.requests import LabelledRequests
from export.rows.writer import TrainingRowsWriter
from services.features.config import DAY_S, FeatureConfig
from services.features.schema import build_schema
from services.store.memory import MemoryRowStore
from services.text.protocol import HashingEncoder
from tests.unit.export.replay.test_replay import SOURCES, T0, history

SCHEMA = build_schema(FeatureConfig())


def write(out: Path, stop_s: float = 0.0) -> None:
    """Replay nine requests, or stop at one of them."""
    times = [T0 + n * DAY_S for n in range(1, 10)]
    store, encoder = MemoryRowStore(), HashingEncoder()
    with TrainingRowsWriter(out, SCHEMA, encoder.fingerprint, SOURCES, {}) as writer:

        def on_requests(time_s: float, requests: LabelledRequests) -> None:
            writer.add(store, requests)
            if time_s == stop_s:
                raise KeyboardInterrupt

        Replay(history(times, times, []), SCHEMA, encoder, store).run(T0 + 100 * DAY_S, on_requests)


def test_whole_rows_are_read(tmp_path: Path) -> None:
    """All of them."""
    write(tmp_path)
    assert 9 == len(RowSource(tmp_path, "train"))


def test_an_interrupted_replay_leaves_no_rows(tmp_path: Path) -> None:
    """Neither its own, nor those of an earlier replay."""
    write(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path, T0 + 5 * DAY_S)
    with pytest.raises(TrainingRowsError, match="no complete training rows"):
        read_info(tmp_path)
