"""One training run: a kind and a seed, from training rows to a run directory and a registered model.

A run directory holds run.json (written last, so a directory without it is unfinished), predictions.parquet and,
for models with transfer weights, transfer.json. Knows files; how models learn is elsewhere.
"""

import json
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from export.evaluation.metrics import summary
from export.models.base import Model, TorchModel
from export.models.onnx_export import check_many, check_onnx, export_many, export_onnx, sample_requests
from export.models.preference_transfer import PreferenceTransfer
from export.rows.reader import RowSource
from export.rows.selection import Selection
from export.training.checkpoint import Epoch
from export.training.config import TrainingConfig, config_of
from export.training.peers import Alone, Peers
from export.training.train import Scored, fit, score
from services.registry.writer import register
from services.settings.load import Settings

RUN_FILE = "run.json"
SCORED = ("validation", "test")


def run_directory(settings: Settings, data: str, kind: str, seed: int, selection: Selection) -> Path:
    """Where a run lies: `runs/<kind>-seed<k>`, or `ablations/<kind>-seed<k>-<digest>` if something is left out."""
    if selection == Selection():
        return settings.data_dir / data / "runs" / f"{kind}-seed{seed}"
    digest = blake2b(json.dumps(described(selection), sort_keys=True).encode(), digest_size=4).hexdigest()
    return settings.data_dir / data / "ablations" / f"{kind}-seed{seed}-{digest}"


def described(selection: Selection) -> dict[str, Any]:
    """A selection as JSON holds it."""
    sets = {name: sorted(getattr(selection, name)) for name in ("dropped_features", "dropped_sources")}
    return {**asdict(selection), "target_share": dict(selection.target_share), **sets}


def read_run(directory: Path) -> dict[str, Any]:
    """What a finished run's run.json says."""
    run: dict[str, Any] = json.loads((directory / RUN_FILE).read_text())
    return run


def train_run(
    settings: Settings,
    data: str,
    kind: str,
    seed: int = 0,
    overrides: Mapping[str, Any] | None = None,
    selection: Selection | None = None,
    log: Callable[[str], None] = lambda _: None,
    *,
    resume: bool = False,
    peers: Peers | None = None,
) -> Path:
    """Train, evaluate, export, check and register one kind with one seed; returns the run's directory.

    Args:
        settings: where data and registry are; its section `training` overrides the kind's choices.
        data: name of the data set, replayed.
        kind: one of export.training.config.KINDS.
        seed: of weights and order.
        overrides: choices of TrainingConfig; stronger than the settings'.
        selection: what to leave out; such a model is not registered.
        log: called with a line at a time.
        resume: keep a finished run of the same choices, and go on with an interrupted one.
        peers: the processes that train together; the first one writes.
    """
    selection, peers = selection or Selection(), peers or Alone()
    config = config_of(kind, settings.training.model_dump(), overrides or {}, {"seed": seed})
    rows, out = settings.data_dir / data / "rows", run_directory(settings, data, kind, seed, selection)
    choices = _choices(kind, config, selection, RowSource(rows, "train"))
    if resume and (out / RUN_FILE).exists() and choices.items() <= read_run(out).items():
        log(f"{kind}: {out} is finished")
        return out
    if not peers.rank:
        out.mkdir(parents=True, exist_ok=True)
        (out / RUN_FILE).unlink(missing_ok=True)
    begin, checkpoint = time.perf_counter(), out / "checkpoint.pt"
    model, epochs = fit(rows, kind, config, selection, log=log, checkpoint=checkpoint, resume=resume, peers=peers)
    if not peers.rank:
        seconds = round(time.perf_counter() - begin, 1)
        _write(settings, rows, out, model, epochs, selection, {**choices, "seconds": seconds, "processes": peers.count})
        checkpoint.unlink(missing_ok=True)
    return out


def _choices(kind: str, config: TrainingConfig, selection: Selection, source: RowSource) -> dict[str, Any]:
    """What makes two runs the same, as JSON holds it."""
    info = {name: source.info[name] for name in ("schema_fingerprint", "encoder_fingerprint", "sources", "counts")}
    choices = {"kind": kind, "seed": config.seed, "training": asdict(config), "selection": described(selection)}
    result: dict[str, Any] = json.loads(json.dumps({**choices, "rows": info, "data": source.info["data"]}))
    return result


def _write(
    settings: Settings,
    rows: Path,
    out: Path,
    model: Model,
    epochs: list[Epoch],
    selection: Selection,
    run: dict[str, Any],
) -> None:
    """Score, export and register a trained model; write its run directory."""
    if isinstance(model, TorchModel):
        model.cpu()
    sources = {split: RowSource(rows, split, selection) for split in SCORED}
    scored = {split: score(model, source) for split, source in sources.items()}
    metrics: dict[str, Any] = {"kind": run["kind"], "training": run["training"], "epochs": [asdict(e) for e in epochs]}
    metrics |= {split: split_metrics(sources[split], found) for split, found in scored.items() if len(found.row)}
    _write_predictions(out / "predictions.parquet", scored)
    if isinstance(model, PreferenceTransfer):
        (out / "transfer.json").write_text(json.dumps(transfer_summary(model, sources["test"]), indent=2) + "\n")
    registered = None
    if selection == Selection():
        with tempfile.TemporaryDirectory() as folder:
            onnx = Path(folder) / "model.onnx"
            export_onnx(model, onnx)
            metrics["onnx_difference_max"] = check_onnx(model, onnx, RowSource(rows, "train"))
            info = sources["test"].info
            said = manifest(info, run["kind"], run["seed"])
            samples = sample_requests(onnx, RowSource(rows, "train"))
            many = Path(folder) / "many.onnx" if export_many(model, Path(folder) / "many.onnx") else None
            if many:
                metrics["onnx_many_difference_max"] = check_many(onnx, many, RowSource(rows, "train"))
            registered = register(settings.registry_dir, run["kind"], onnx, said, metrics, samples, many)
    run = {**run, **metrics, "registered": registered}
    (out / RUN_FILE).write_text(json.dumps(run, indent=2) + "\n")


def manifest(info: dict[str, Any], kind: str, seed: int) -> dict[str, Any]:
    """What a model needs from the code that serves it, and what it was made from."""
    taken = ("schema_fingerprint", "encoder_fingerprint", "tensors", "features", "sources", "data")
    return {"kind": kind, "seed": seed, **{name: info[name] for name in taken}}


def split_metrics(source: RowSource, scored: Scored) -> dict[str, Any]:
    """Metrics over all rows of a split and per target scenario."""
    found = source.columns("user_id", "request_id", "target")
    parts = (scored.label, scored.probability, found["user_id"], found["request_id"])
    result = {"all": summary(*parts)}
    for number, scenario in enumerate(source.sources):
        chosen = found["target"] == number
        if chosen.any():
            result[scenario] = summary(*(part[chosen] for part in parts))
    return result


def _write_predictions(path: Path, scored: Mapping[str, Scored]) -> None:
    columns = {
        "row": np.concatenate([found.row for found in scored.values()]).astype(np.int64),
        "split": np.concatenate([np.full(len(found.row), split) for split, found in scored.items()]),
        "probability": np.concatenate([found.probability for found in scored.values()]).astype(np.float32),
    }
    pq.write_table(pa.table(columns), path)


@torch.no_grad()
def transfer_summary(model: PreferenceTransfer, source: RowSource) -> dict[str, Any]:
    """Mean and deviation of M[i,j] over the contexts of a split, one row per target scenario i."""
    count, shape = 0, (len(source.sources),) * 2
    total, squares = np.zeros(shape), np.zeros(shape)
    for batch in source.batches():
        found = model.transfer(torch.from_numpy(batch.scenario), torch.from_numpy(batch.language)).double().numpy()
        weights = found * batch.weight_of_source
        count, total, squares = count + len(weights), total + weights.sum(0), squares + (weights**2).sum(0)
    mean = total / max(count, 1)
    deviation = np.sqrt(np.maximum(squares / max(count, 1) - mean**2, 0))
    return {"sources": source.sources, "contexts": count, "mean": mean.tolist(), "sd": deviation.tolist()}
