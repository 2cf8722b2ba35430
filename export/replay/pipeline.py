"""Steps from a data set's tables to training rows, one per function.

Each step reads the files of the previous one and can run alone; the command line and the demo call them in sequence,
and export.training.run continues from the rows.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from export.datasets.storage import DatasetReader
from export.replay.history import DatasetHistory, load_history
from export.replay.offline_rows import OfflineRecorder
from export.replay.replay import Replay
from export.rows.requests import LabelledRequests
from export.rows.writer import TrainingRowsWriter
from services.features.schema import build_schema
from services.settings.load import Settings
from services.store.columns import ColumnRowStore
from services.text.encoder import encoder_exists, open_encoder

ENCODER_THREADS = 2

OnProgress = Callable[[float, float], None]
"""Called with the amount done and the total."""


def ensure_encoder(settings: Settings, reader: DatasetReader) -> None:
    """Build the text encoder on the catalogue's texts, unless there is one."""
    if encoder_exists(settings.encoder_dir):
        return
    from export.text_encoder import build_encoder

    history = load_history(reader, settings.features)
    texts = [state.text for _, state in history.items] + [state.text for _, state in history.scenarios]
    build_encoder(sorted(set(texts)), settings.encoder_dir)


def replay_rows(
    settings: Settings, reader: DatasetReader, out: Path, user_share: float, on_progress: OnProgress = lambda *_: None
) -> None:
    """Replay a whole data set into training rows (`out`) and Feast's offline source."""
    schema, encoder = build_schema(settings.features), open_encoder(settings.encoder_dir, ENCODER_THREADS)
    history = load_history(reader, settings.features)
    sources = sorted(scenario for scenario, _ in history.scenarios)
    store = ColumnRowStore(schema)
    data = {"dataset": str(reader.path), "info": reader.info.get("arguments", {}), "rows": reader.info.get("rows", {})}
    recorder = OfflineRecorder(store, schema, settings.store.offline_dir, user_share)
    with recorder, TrainingRowsWriter(out, schema, encoder.fingerprint, sources, data) as writer:

        def on_requests(_: float, requests: LabelledRequests) -> None:
            writer.add(store, requests)
            recorder.flush()

        Replay(history, schema, encoder, recorder).run(
            end_time_s(history), on_requests, _progress(history, on_progress)
        )


def end_time_s(history: DatasetHistory) -> float:
    """A time after all events, requests and updates of the history, seconds since 1970."""
    times = [history.behavior.time_s, history.requests.time_s, history.item_scenarios.time_s]
    return max(float(values.max()) for values in times if len(values)) + 1.0


def _progress(history: DatasetHistory, on_progress: OnProgress) -> Callable[[float], None]:
    total = len(history.behavior)
    return lambda time_s: on_progress(float(np.searchsorted(history.behavior.time_s, time_s)), total)
