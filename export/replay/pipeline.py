"""Steps from a data set's tables to training rows, one per function.

Each step reads the files of the previous one and can run alone; the command line and the demo call them in sequence,
and export.training.run continues from the rows.
"""

import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from export.datasets.storage import DatasetReader
from export.datasets.texts import catalogue_texts, event_texts
from export.replay.history import DatasetHistory, count_users, labelled_chunks, load_catalogue, train_times
from export.replay.offline_rows import OfflineRecorder
from export.replay.progress import OnProgress
from export.replay.replay import OnStep, Replay
from export.rows.provenance import describe_data
from export.rows.requests import LabelledRequests, Snapshots
from export.rows.writer import TrainingRowsWriter
from export.text_encoder import build_encoder
from export.text_encoder.reading import choose_source, read_texts
from export.text_encoder.sentence_encoders import AUTO, check_source
from export.vectors.content_history import ContentHistory
from export.vectors.interactions import read_interactions
from export.vectors.schedule import VectorSchedule, period_starts
from services.features.config import FeatureConfig
from services.features.rows import Floats, Ints
from services.features.schema import build_schema
from services.infra.folder_lock import hold
from services.registry.vectors_file import VECTORS, write_vectors
from services.settings.load import Settings
from services.store.columns import ColumnRowStore
from services.text.encoder import encoder_exists, find_info, open_encoder
from services.text.protocol import Encoder

ENCODER_THREADS = 2

CHUNK_ROWS = 131_072
"""Rows of the events table that are read at a time."""

MIN_OFFLINE_USERS = 10
"""Users that Feast's offline source has at least, on average, unless none are wanted."""


def ensure_encoder(settings: Settings, reader: DatasetReader, report: Callable[[str], None] = lambda _: None) -> None:
    """Build the text encoder on the catalogue's texts, unless there is one; calls `report` before what takes long.

    Its sentence encoder is chosen by the texts unless the settings name one. Raises ConfigurationError if they name
    another one than the encoder that is there was built from.
    """
    if encoder_exists(settings.encoder_dir):
        check_source(settings.text_encoder, settings.encoder_dir)
        return
    texts = list(catalogue_texts(reader))
    source, reason = settings.text_encoder, "named by the setting text_encoder"
    if source == AUTO:
        source, reason = choose_source(
            {"catalogue": read_texts(texts), "queries and comments": read_texts(event_texts(reader))}
        )
    report(f"text encoder: {source}; {reason}")
    begun = time.monotonic()
    build_encoder(sorted(set(texts)), settings.encoder_dir, source, reason=reason, report=report)
    report(f"text encoder in {settings.encoder_dir} after {time.monotonic() - begun:.1f} s")


def replay_rows(
    settings: Settings,
    reader: DatasetReader,
    out: Path,
    user_share: float,
    on_progress: OnProgress = lambda *_: None,
    encoder: Encoder | None = None,
) -> tuple[int, int]:
    """Replay a whole data set into training rows (`out`) and Feast's offline source.

    Without an `encoder`, texts are encoded by that of the settings. Returns the number of users whose rows the offline
    source has, and of all users. Raises FolderInUse while another replay writes either.
    """
    offline = settings.store.offline_dir
    with ExitStack() as stack:
        for folder in (out, offline):
            stack.enter_context(hold(folder.with_name(f".{folder.name}.lock"), folder, "replay"))
        encoder = encoder or open_encoder(settings.encoder_dir, ENCODER_THREADS)
        return _replay(settings, reader, out, user_share, on_progress, encoder)


def offline_share(users: int, share: float) -> float:
    """The share of users to record: of small data more than was asked for, since a share of few users is none."""
    return min(max(share, MIN_OFFLINE_USERS / max(users, 1)), 1.0) if share else 0.0


def _replay(
    settings: Settings, reader: DatasetReader, out: Path, user_share: float, on_progress: OnProgress, encoder: Encoder
) -> tuple[int, int]:
    schema, store = build_schema(settings.features), ColumnRowStore(build_schema(settings.features))
    catalogue, users = load_catalogue(reader, settings.features), count_users(reader)
    sources = sorted({scenario for scenario, _ in catalogue.scenarios})
    recorder = OfflineRecorder(store, schema, settings.store.offline_dir, offline_share(users, user_share))
    replay, data = Replay(catalogue, schema, encoder, store, recorder), describe_source(settings, reader)
    schedule = open_schedule(settings, reader, catalogue, encoder, period_starts(train_times(reader)))
    with recorder, TrainingRowsWriter(out, schema, encoder.fingerprint, sources, data, schedule.at) as writer:

        def write(requests: LabelledRequests, rows: Snapshots, stamp: Ints) -> None:
            writer.add_moments(rows, requests, stamp)

        fold_chunks(reader, settings.features, catalogue, replay, write, on_progress)
        write_vectors(out / VECTORS, schedule.current)
    return len(recorder.users), users


def describe_source(settings: Settings, reader: DatasetReader) -> dict[str, Any]:
    """What training rows say of their data set and text encoder."""
    data = describe_data(reader.path, reader.info)
    if info := find_info(settings.encoder_dir):
        data["text_encoder"] = {"name": info.source, "languages": info.languages, "reason": info.reason}
    return data


def fold_chunks(
    reader: DatasetReader,
    config: FeatureConfig,
    catalogue: DatasetHistory,
    replay: Replay,
    on_step: OnStep,
    on_progress: OnProgress,
) -> None:
    """Fold all events of a data set, chunk by chunk, calling `on_step` with the labelled rows of each step."""
    done, total = 0, reader.rows("events")
    for chunk in labelled_chunks(reader, config, CHUNK_ROWS):
        replay.feed(chunk.behavior, chunk.behavior_text, chunk.requests)

        def progress(time_s: float, before: int = done, times: Floats = chunk.time_s) -> None:
            on_progress(before + float(np.searchsorted(times, time_s)), total)

        replay.run_grouped(min(chunk.until_s, end_time_s(catalogue, chunk.time_s)), on_step, progress)
        done += len(chunk.time_s)


def open_schedule(
    settings: Settings, reader: DatasetReader, catalogue: DatasetHistory, encoder: Encoder, starts_s: Floats
) -> VectorSchedule:
    """The vectors of items that requests may see; `starts_s` are the first times of the periods, seconds since 1970."""
    interactions = read_interactions(reader, settings.features)
    contents = ContentHistory(settings.features, encoder, interactions.items, catalogue.items)
    return VectorSchedule(settings.features, interactions, contents, starts_s)


def end_time_s(catalogue: DatasetHistory, times: Floats) -> float:
    """A time after all these times and all updates of items in scenarios, seconds since 1970."""
    return max(float(values.max()) for values in (times, catalogue.item_scenarios.time_s) if len(values)) + 1.0
