"""Recognition samples: what the rows said just before a moment of behaviour, and the scenario it was in.

The replay folds only what recognition reads: when and where users did something, not with which items.
"""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from export.datasets.storage import DatasetReader
from export.datasets.tables import SPLITS
from export.recognition.errors import RecognitionError
from export.recognition.moments import Moments, moments_of, split_starts, targets_of
from export.replay.history import History, ItemScenarios, contexts_of, load_history
from export.replay.replay import Replay
from export.rows.requests import LabelledRequests
from services.features.recognition import recognition_features, recognition_names, restrict_prior, user_prior
from services.features.rows import Floats
from services.features.schema import Schema
from services.store.columns import ColumnRowStore
from services.store.protocol import Key, read_block
from services.text.protocol import HashingEncoder

FORMAT = 1
INFO_FILE, SAMPLES_FILE = "recognition.json", "samples.parquet"

Progress = Callable[[float, float], None]
"""Called with what is done and what there is to do."""


@dataclass(frozen=True)
class Samples:
    """S recognition samples, K target scenarios.

    Args:
        info: what the samples were made from and with.
        moments: the S moments.
        split: [S] train, validation or test.
        target: [S] index of the scenario among info["scenarios"].
        features: [S, F] columns info["inputs"].
        prior: [S, K] what the users' habits alone say.
    """

    info: dict[str, Any]
    moments: Moments
    split: NDArray[np.object_]
    target: NDArray[np.int64]
    features: NDArray[np.float32]
    prior: Floats

    def where(self, mask: NDArray[np.bool_]) -> "Samples":
        """The samples of a mask [S]."""
        parts = (self.split[mask], self.target[mask], self.features[mask], self.prior[mask])
        return Samples(self.info, self.moments.take(mask), *parts)

    def of(self, split: str) -> "Samples":
        """The samples of a split."""
        return self.where(self.split == split)


def make_samples(
    schema: Schema, reader: DatasetReader, limit: int, seed: int, progress: Progress = lambda *_: None
) -> Samples:
    """At most `limit` samples of a data set; raises RecognitionError if it has too little to learn from."""
    history = load_history(reader, schema.config)
    sources = sorted({scenario for scenario, _ in history.scenarios})
    targets = targets_of(history, schema.config)
    moments = moments_of(history, schema.config, targets, limit, seed)
    starts = split_starts(history.requests, moments)
    split = np.array(SPLITS, object)[np.searchsorted(starts, moments.time_s, "right")]
    # A target without a moment in training appeared later: it can be neither learnt nor measured.
    scenarios = sorted(set(moments.scenario[split == "train"].tolist()))
    kept = np.isin(moments.scenario.astype(str), scenarios)
    moments, split = moments.take(kept), split[kept]
    counts = {name: int((split == name).sum()) for name in SPLITS}
    if len(scenarios) < 2 or not all(counts.values()):
        raise RecognitionError(
            f"recognition needs two target scenarios and moments in every split; there are {len(scenarios)} scenarios "
            f"and {', '.join(f'{count} moments in {name}' for name, count in counts.items())}"
        )
    features, prior = _replayed(schema, _bare(history, moments), _context(schema, reader, moments), sources, progress)
    eligible = np.isin(sources, scenarios)
    info = {
        "format": FORMAT,
        "schema_fingerprint": schema.fingerprint,
        "features": asdict(schema.config),
        "inputs": list(recognition_names(schema.config, sources)),
        "scenarios": scenarios,
        "sources": sources,
        "source_only": sorted(set(sources) - set(targets)),
        "validation_start_s": starts[0],
        "test_start_s": starts[1],
        "counts": {**counts, "left_out": int((~kept).sum())},
        "seed": seed,
        "data": {"dataset": str(reader.path), "info": reader.info.get("arguments", {})},
    }
    target = np.searchsorted(scenarios, moments.scenario.astype(str)).astype(np.int64)
    return Samples(info, moments, split, target, features, restrict_prior(prior, eligible)[:, eligible])


def _bare(history: History, moments: Moments) -> History:
    """The history with the moments as its requests, and of its events only who did what where and when."""
    events, count = len(history.behavior), len(moments.event)
    empty = np.full(max(events, count), "", object)
    requests = LabelledRequests(
        request_id=empty[:count],
        user=moments.user,
        scenario=moments.scenario,
        item=empty[:count],
        label=np.ones(count, np.int64),
        split=empty[:count],
        time_s=moments.time_s,
        context=np.zeros((count, 0)),
    )
    attributes = history.item_scenarios.attributes[:0]
    return History(
        behavior=replace(history.behavior, item=empty[:events]),
        behavior_text=empty[:events],
        requests=requests,
        items=[],
        item_scenarios=ItemScenarios(empty[:0], empty[:0], np.zeros(0), attributes),
        scenarios=[],
    )


def _context(schema: Schema, reader: DatasetReader, moments: Moments) -> Floats:
    """Declared context attributes of the moments' events, [M, A]; defaults where the data set has none."""
    names = [name for name in ("type", "context") if name in reader.columns("events")]
    events = reader.table("events", names)
    behavior = events.filter(pc.not_equal(events["type"], "candidate"))
    return contexts_of(behavior.take(pa.array(moments.event)), schema.config)


def _replayed(
    schema: Schema, history: History, context: Floats, sources: list[str], progress: Progress
) -> tuple[NDArray[np.float32], Floats]:
    """Features [M, F] and prior [M, J] of the history's requests, each as of strictly before it."""
    store, config, total = ColumnRowStore(schema), schema.config, len(history.requests.time_s)
    features: list[NDArray[np.float32]] = []
    priors: list[Floats] = []
    done = 0

    def stop(_: float, requests: LabelledRequests) -> None:
        nonlocal done
        pairs: list[Key] = [(user, source) for user in requests.user for source in sources]
        own = read_block(store, schema["user_scenario"], pairs)
        everybody = read_block(store, schema["scenario_activity"], [(source,) for source in sources])
        begin, done = done, done + len(requests.time_s)
        features.append(recognition_features(config, requests.time_s, own, everybody, context[begin:done]))
        priors.append(user_prior(config, requests.time_s, own, everybody))
        progress(done, total)

    # Without items and texts nothing is encoded; rows want to know an encoder all the same.
    encoder = HashingEncoder(config.text_dims)
    Replay(history, schema, encoder, store).run(float(history.requests.time_s[-1]) + 1.0, stop)
    return np.concatenate(features), np.concatenate(priors)


def write_samples(samples: Samples, out: Path) -> None:
    """Write samples.parquet and, last, recognition.json."""
    out.mkdir(parents=True, exist_ok=True)
    (out / INFO_FILE).unlink(missing_ok=True)
    moments = samples.moments
    columns = {
        "user_id": pa.array(moments.user),
        "scenario_id": pa.array(moments.scenario),
        "time_s": pa.array(moments.time_s),
        "split": pa.array(samples.split),
        "share": pa.array(moments.share),
        "entropy": pa.array(moments.entropy),
        "features": _lists(samples.features),
        "prior": _lists(samples.prior),
    }
    pq.write_table(pa.table(columns), out / SAMPLES_FILE, compression="zstd")
    (out / INFO_FILE).write_text(json.dumps(samples.info, indent=2) + "\n")


def _lists(values: NDArray[Any]) -> pa.Array:
    return pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), values.shape[1])
