"""`crossrec bench replay`: replay ratings that have their own times into training rows and offline rows.

The replay runs in a process of its own, whose memory is measured. Starts no server.
"""

import multiprocessing
import os
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from export.datasets.storage import DatasetReader
from export.evaluation.machine import machine, versions
from export.replay.pipeline import replay_rows
from export.replay.progress import replay_progress
from export.rows.reader import read_info
from services.features.config import FeatureConfig
from services.settings.infrastructure import StoreSettings
from services.settings.load import Settings
from services.text.protocol import HashingEncoder
from tests.bench.processes import memory_bytes
from tests.bench.replay_ratings import GAP_S, LIKED, RATINGS_PER_ITEM, RATINGS_PER_USER, SESSION, write_ratings

PACKAGES = ("crossrec", "numpy", "pyarrow")
OFFLINE_USERS = 0.1
MARKS = 4
"""Memory is noted each time that this part of the events is done."""


def run_bench_replay(events: int, seed: int) -> dict[str, Any]:
    """Time, rate and memory, with workload, versions and machine."""
    with TemporaryDirectory() as folder:
        data = Path(folder) / "ratings"
        write_ratings(data, events, seed)
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
            found = pool.submit(measure, data, Path(folder)).result()
    workload = {
        "events": events,
        "seed": seed,
        "offline_users": OFFLINE_USERS,
        "ratings_per_user": RATINGS_PER_USER,
        "ratings_per_item": RATINGS_PER_ITEM,
        "ratings_per_session": SESSION,
        "seconds_between_ratings": GAP_S,
        "text_encoder": "hashed words",
    }
    return {**found, "workload": workload, "versions": versions(PACKAGES), "machine": machine()}


def measure(data: Path, folder: Path) -> dict[str, Any]:
    """Replay an imported data set, with all output below `folder`."""
    features = FeatureConfig(liked_from={"rating": LIKED})
    settings = Settings(store=StoreSettings(offline_dir=folder / "offline"), features=features)
    reader = DatasetReader(data)
    memory: list[int] = []

    with replay_progress() as report:

        def on_progress(done: float, total: float) -> None:
            report(done, total)
            if done >= total * len(memory) / MARKS:
                memory.append(memory_bytes(os.getpid(), "VmRSS") >> 20)

        begun_s, begun_cpu_s = time.perf_counter(), time.process_time()
        replay_rows(settings, reader, folder / "rows", OFFLINE_USERS, on_progress, HashingEncoder())
        seconds, cpu_s = time.perf_counter() - begun_s, time.process_time() - begun_cpu_s
    counts = read_info(folder / "rows")["counts"]
    return {
        "seconds": seconds,
        "cpu_seconds": cpu_s,
        "training_rows": counts["rows"],
        "instants": counts["moments"],
        "training_rows_per_s": counts["rows"] / seconds,
        "memory_mib": memory,
        "peak_memory_mib": memory_bytes(os.getpid(), "VmHWM") >> 20,
    }
