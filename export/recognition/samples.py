"""Recognition samples: features of a user just before an engagement, and the scenario of the engagement.

The replay folds only what recognition reads: times and scenarios of events, without items.
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
from export.recognition.contexts import Contexts, RecognitionError, sample_contexts, split_starts, target_scenarios
from export.replay.attribute_columns import context_columns
from export.replay.history import DatasetHistory, ItemScenarios, load_history
from export.replay.replay import Replay
from export.rows.provenance import describe_data
from export.rows.requests import LabelledRequests, Snapshots
from services.features.recognition import recognition_features, recognition_names, restrict_prior, user_prior
from services.features.rows import Floats, Ints
from services.features.schema import Schema
from services.settings.private_files import make_private_directory
from services.store.columns import ColumnRowStore
from services.store.protocol import Key
from services.text.protocol import HashingEncoder

FORMAT = 1
INFO_FILE, SAMPLES_FILE = "recognition.json", "samples.parquet"

OnProgress = Callable[[float, float], None]
"""Called with the number of finished contexts and of all."""


@dataclass(frozen=True)
class Samples:
    """S recognition samples, K target scenarios.

    Args:
        info: choices and data that the samples were made from.
        contexts: the S contexts.
        split: [S] train, validation or test.
        target: [S] index of the scenario among info["scenarios"].
        features: [S, F] columns info["inputs"].
        prior: [S, K] posterior by the user's own history of scenarios alone.
    """

    info: dict[str, Any]
    contexts: Contexts
    split: NDArray[np.object_]
    target: NDArray[np.int64]
    features: NDArray[np.float32]
    prior: Floats

    def select(self, mask: NDArray[np.bool_]) -> "Samples":
        """The samples of a mask [S]."""
        parts = (self.split[mask], self.target[mask], self.features[mask], self.prior[mask])
        return Samples(self.info, self.contexts.take(mask), *parts)

    def in_split(self, split: str) -> "Samples":
        """The samples of a split."""
        return self.select(self.split == split)


def make_samples(
    schema: Schema, reader: DatasetReader, limit: int, seed: int, on_progress: OnProgress = lambda *_: None
) -> Samples:
    """At most `limit` samples of a data set; raises RecognitionError if it has too little to learn from."""
    history = load_history(reader, schema.config)
    sources = sorted({scenario for scenario, _ in history.scenarios})
    targets = target_scenarios(history, schema.config)
    contexts = sample_contexts(history, schema.config, targets, limit, seed)
    starts = split_starts(history.requests, contexts)
    split = np.array(SPLITS, object)[np.searchsorted(starts, contexts.time_s, "right")]
    # A target scenario without a training context appeared later: it can be neither learnt nor tested.
    scenarios = sorted(set(contexts.scenario[split == "train"].tolist()))
    kept = np.isin(contexts.scenario.astype(str), scenarios)
    contexts, split = contexts.take(kept), split[kept]
    counts = {name: int((split == name).sum()) for name in SPLITS}
    if len(scenarios) < 2 or not all(counts.values()):
        raise RecognitionError(
            f"recognition needs two target scenarios and contexts in every split; there are {len(scenarios)} scenarios "
            f"and {', '.join(f'{count} contexts in {name}' for name, count in counts.items())}"
        )
    features, prior = _replay_features(
        schema,
        _behavior_history(history, contexts),
        _context_attributes(schema, reader, contexts),
        sources,
        on_progress,
    )
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
        "data": describe_data(reader.path, reader.info),
    }
    target = np.searchsorted(scenarios, contexts.scenario.astype(str)).astype(np.int64)
    return Samples(info, contexts, split, target, features, restrict_prior(prior, eligible)[:, eligible])


def _behavior_history(history: DatasetHistory, contexts: Contexts) -> DatasetHistory:
    """The history with the contexts as its requests, and with events reduced to user, scenario, type and time."""
    events, count = len(history.behavior), len(contexts.event)
    empty = np.full(max(events, count), "", object)
    requests = LabelledRequests(
        request_id=empty[:count],
        user=contexts.user,
        scenario=contexts.scenario,
        item=empty[:count],
        label=np.ones(count, np.int64),
        split=empty[:count],
        time_s=contexts.time_s,
        context=np.zeros((count, 0)),
    )
    attributes = history.item_scenarios.attributes[:0]
    return DatasetHistory(
        behavior=replace(history.behavior, item=empty[:events]),
        behavior_text=empty[:events],
        requests=requests,
        items=[],
        item_scenarios=ItemScenarios(empty[:0], empty[:0], np.zeros(0), attributes),
        scenarios=[],
    )


def _context_attributes(schema: Schema, reader: DatasetReader, contexts: Contexts) -> Floats:
    """Declared context attributes of the contexts' events, [M, A]; defaults where the data set has none."""
    names = [name for name in ("type", "context", "context_categories") if name in reader.columns("events")]
    events = reader.table("events", names)
    behavior = events.filter(pc.not_equal(events["type"], "candidate"))
    return context_columns(behavior.take(pa.array(contexts.event)), schema.config)


def _replay_features(
    schema: Schema, history: DatasetHistory, context: Floats, sources: list[str], on_progress: OnProgress
) -> tuple[NDArray[np.float32], Floats]:
    """Features [M, F] and prior [M, J] of the history's requests, each as of strictly before it."""
    store, config, total = ColumnRowStore(schema), schema.config, len(history.requests.time_s)
    features: list[NDArray[np.float32]] = []
    priors: list[Floats] = []
    done = 0

    def sample(requests: LabelledRequests, rows: Snapshots, stamp: Ints) -> None:
        nonlocal done
        pairs: list[Key] = [(user, source) for user in requests.user for source in sources]
        scenarios: list[Key] = [(source,) for _ in stamp for source in sources]
        each = np.repeat(stamp, len(sources))
        own = rows.read(schema["user_scenario"], pairs, each)
        all_users = rows.read(schema["scenario_activity"], scenarios, each)
        begin, done = done, done + len(requests.time_s)
        features.append(recognition_features(config, requests.time_s, own, all_users, context[begin:done]))
        priors.append(user_prior(config, requests.time_s, own, all_users))
        on_progress(done, total)

    # Without items and texts nothing is encoded, but the replay needs an encoder.
    encoder = HashingEncoder(config.text_dims)
    Replay(history, schema, encoder, store).run_grouped(float(history.requests.time_s[-1]) + 1.0, sample)
    return np.concatenate(features), np.concatenate(priors)


def write_samples(samples: Samples, out: Path) -> None:
    """Write samples.parquet and, last, recognition.json."""
    make_private_directory(out)
    (out / INFO_FILE).unlink(missing_ok=True)
    contexts = samples.contexts
    columns = {
        "user_id": pa.array(contexts.user),
        "scenario_id": pa.array(contexts.scenario),
        "time_s": pa.array(contexts.time_s),
        "split": pa.array(samples.split),
        "share": pa.array(contexts.share),
        "entropy": pa.array(contexts.entropy),
        "features": _fixed_size_lists(samples.features),
        "prior": _fixed_size_lists(samples.prior),
    }
    pq.write_table(pa.table(columns), out / SAMPLES_FILE, compression="zstd")
    (out / INFO_FILE).write_text(json.dumps(samples.info, indent=2) + "\n")


def _fixed_size_lists(values: NDArray[Any]) -> pa.Array:
    return pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), values.shape[1])
