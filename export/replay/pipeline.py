"""Steps from a data set's tables to training rows, one per function.

Each step reads the files of the previous one and can run alone; the command line and the demo call them in sequence,
and export.training.run continues from the rows.
"""

import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from export.datasets.storage import DatasetReader
from export.replay.history import DatasetHistory, load_history
from export.replay.offline_rows import OfflineRecorder
from export.replay.replay import Replay
from export.rows.requests import LabelledRequests
from export.rows.writer import TrainingRowsWriter
from services.features.schema import build_schema
from services.infra.folder_lock import hold
from services.settings.load import Settings
from services.store.columns import ColumnRowStore
from services.text.encoder import encoder_exists, open_encoder

ENCODER_THREADS = 2

MIN_OFFLINE_USERS = 10
"""Users that Feast's offline source has at least, on average, unless none are wanted."""

OnProgress = Callable[[float, float], None]
"""Called with the amount done and the total."""


def ensure_encoder(settings: Settings, reader: DatasetReader, report: Callable[[str], None] = lambda _: None) -> None:
    """Build the text encoder on the catalogue's texts, unless there is one; calls `report` before what takes long."""
    if encoder_exists(settings.encoder_dir):
        return
    report("loading PyTorch and the sentence encoder")
    from export.text_encoder import build_encoder

    history = load_history(reader, settings.features)
    texts = [state.text for _, state in history.items] + [state.text for _, state in history.scenarios]
    begun = time.monotonic()
    build_encoder(sorted(set(texts)), settings.encoder_dir, report=report)
    report(f"text encoder in {settings.encoder_dir} after {time.monotonic() - begun:.1f} s")


def replay_rows(
    settings: Settings, reader: DatasetReader, out: Path, user_share: float, on_progress: OnProgress = lambda *_: None
) -> tuple[int, int]:
    """Replay a whole data set into training rows (`out`) and Feast's offline source.

    Returns the number of users whose rows the offline source has, and of all users. Raises FolderInUse while another
    replay writes either.
    """
    offline = settings.store.offline_dir
    with ExitStack() as stack:
        for folder in (out, offline):
            stack.enter_context(hold(folder.with_name(f".{folder.name}.lock"), folder, "replay"))
        return _replay(settings, reader, out, user_share, on_progress)


def offline_share(users: int, share: float) -> float:
    """The share of users to record: of small data more than was asked for, since a share of few users is none."""
    return min(max(share, MIN_OFFLINE_USERS / max(users, 1)), 1.0) if share else 0.0


def _replay(
    settings: Settings, reader: DatasetReader, out: Path, user_share: float, on_progress: OnProgress
) -> tuple[int, int]:
    schema, encoder = build_schema(settings.features), open_encoder(settings.encoder_dir, ENCODER_THREADS)
    history = load_history(reader, settings.features)
    sources = sorted(scenario for scenario, _ in history.scenarios)
    store = ColumnRowStore(schema)
    data = {"dataset": str(reader.path), "info": reader.info.get("arguments", {}), "rows": reader.info.get("rows", {})}
    users = len(np.unique(history.behavior.user))
    recorder = OfflineRecorder(store, schema, settings.store.offline_dir, offline_share(users, user_share))
    with recorder, TrainingRowsWriter(out, schema, encoder.fingerprint, sources, data) as writer:

        def on_requests(_: float, requests: LabelledRequests) -> None:
            writer.add(store, requests)
            recorder.flush()

        Replay(history, schema, encoder, recorder).run(
            end_time_s(history), on_requests, _progress(history, on_progress)
        )
    return len(recorder.users), users


def end_time_s(history: DatasetHistory) -> float:
    """A time after all events, requests and updates of the history, seconds since 1970."""
    times = [history.behavior.time_s, history.requests.time_s, history.item_scenarios.time_s]
    return max(float(values.max()) for values in times if len(values)) + 1.0


def _progress(history: DatasetHistory, on_progress: OnProgress) -> Callable[[float], None]:
    total = len(history.behavior)
    return lambda time_s: on_progress(float(np.searchsorted(history.behavior.time_s, time_s)), total)
