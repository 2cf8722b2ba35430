"""One training run: a kind and a seed, from training rows to a run directory and a registered model.

Knows files; the training loop is in export.training.train, a run directory's layout in export.models.runs.
"""

import json
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from export.evaluation.metrics import ranking_metrics
from export.models.base import Model, TorchModel
from export.models.config import Epoch, TrainingConfig
from export.models.kinds import load_kind
from export.models.onnx_export import check_batched, check_onnx, sample_requests
from export.models.preference_transfer import PreferenceTransfer
from export.models.runs import (
    PREDICTIONS_FILE,
    RUN_FILE,
    SOURCES_FILE,
    TRANSFER_FILE,
    read_run,
    run_directory,
    selection_json,
)
from export.rows.provenance import require_current_rows
from export.rows.reader import RowSource, TrainingRowsError
from export.rows.selection import Selection
from export.training.choices import choose, describe
from export.training.process_group import ProcessGroup, SingleProcess
from export.training.train import ScoredRows, fit, score_rows
from export.training.transfer import SourceScores, score_sources, transfer_summary
from services.infra.folder_lock import hold
from services.registry.vectors_file import VECTORS
from services.registry.writer import register
from services.settings.load import Settings
from services.settings.private_files import make_private_directory

SCORED_SPLITS = ("validation", "test")


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
    registers: bool = True,
    group: ProcessGroup | None = None,
) -> Path:
    """Train, evaluate, export, check and register one kind with one seed; returns the run's directory.

    Args:
        settings: where data and registry are; its section `training` overrides the kind's choices.
        data: name of the data set, replayed.
        kind: one of export.models.kinds.KINDS.
        seed: of weights and order.
        overrides: choices of TrainingConfig; they win over the settings.
        selection: what to leave out; a model of a selection is not registered.
        log: called with each line of progress.
        resume: keep a finished run of the same choices, and continue an interrupted one.
        registers: whether the model becomes a version in the registry; a measurement's does not.
        group: the processes that train together; rank 0 writes.

    Raises FolderInUse while another process trains the same run, StaleRows if the rows are not those of today's data,
    settings and code.
    """
    require_current_rows(settings, data)
    selection, group = selection or Selection(), group or SingleProcess()
    directory = settings.data_dir / data
    rows, out = directory / "rows", run_directory(directory, kind, seed, selection)
    source = RowSource(rows, "train", selection)
    given = (settings.training.model_dump(), overrides or {}, {"seed": seed})
    config, reasons = choose(kind, len(source), *given)
    choices = _choices(kind, config, selection, source)
    registers = registers and selection == Selection()
    if resume and _is_finished(out, choices, registers=registers):
        log(f"{kind}: {out} is finished")
        return out
    log(f"{kind}: {describe(reasons)}")
    begin, checkpoint = time.perf_counter(), out / "checkpoint.pt"
    lock = nullcontext() if group.rank else hold(out.with_name(f".{out.name}.lock"), out, "training")
    with lock:
        if not group.rank:
            make_private_directory(out)
            (out / RUN_FILE).unlink(missing_ok=True)
        model, epochs = fit(rows, kind, config, selection, log=log, checkpoint=checkpoint, resume=resume, group=group)
        if not group.rank:
            run = {**choices, "seconds": round(time.perf_counter() - begin, 1), "processes": group.count}
            run["choices"] = [choice.as_json() for choice in reasons]
            _write_run(settings.registry_dir if registers else None, rows, out, model, epochs, selection, run)
            checkpoint.unlink(missing_ok=True)
    return out


def _is_finished(out: Path, choices: Mapping[str, Any], *, registers: bool) -> bool:
    """Whether a run of the same choices is there, registered if it should be."""
    if not (out / RUN_FILE).exists():
        return False
    run = read_run(out)
    return choices.items() <= run.items() and bool(run["registered"] or not registers)


def _choices(kind: str, config: TrainingConfig, selection: Selection, source: RowSource) -> dict[str, Any]:
    """What identifies a run, as JSON holds it: two runs with equal choices are the same."""
    names = ("schema_fingerprint", "encoder_fingerprint", "sources", "counts", "code", "data")
    info = {name: source.info.get(name) for name in names}
    choices = {"kind": kind, "seed": config.seed, "training": asdict(config), "selection": selection_json(selection)}
    result: dict[str, Any] = json.loads(json.dumps({**choices, "rows": info}))
    return result


def _write_run(
    registry: str | None,
    rows: Path,
    out: Path,
    model: Model,
    epochs: list[Epoch],
    selection: Selection,
    run: dict[str, Any],
) -> None:
    """Score a trained model, register it unless the registry is None, and write its run directory."""
    if isinstance(model, TorchModel):
        model.cpu()
    sources = {split: RowSource(rows, split, selection) for split in SCORED_SPLITS}
    scored = {split: score_rows(model, source) for split, source in sources.items()}
    metrics: dict[str, Any] = {"kind": run["kind"], "training": run["training"], "epochs": [asdict(e) for e in epochs]}
    metrics |= {split: split_metrics(sources[split], part) for split, part in scored.items() if len(part.row)}
    _write_predictions(out / PREDICTIONS_FILE, scored)
    if isinstance(model, PreferenceTransfer):
        (out / TRANSFER_FILE).write_text(json.dumps(transfer_summary(model, sources["test"]), indent=2) + "\n")
        _write_sources(out / SOURCES_FILE, score_sources(model, sources["test"]))
    registered = None
    if registry is not None:
        registered = _export_and_register(registry, RowSource(rows, "train"), model, run, metrics)
    (out / RUN_FILE).write_text(json.dumps({**run, **metrics, "registered": registered}, indent=2) + "\n")


def _export_and_register(
    registry: str, source: RowSource, model: Model, run: dict[str, Any], metrics: dict[str, Any]
) -> str:
    """Export a model, check its graphs on training rows, and register it; adds the checks' results to `metrics`."""
    kind = load_kind(run["kind"])
    with tempfile.TemporaryDirectory() as folder:
        onnx, batched = Path(folder) / "model.onnx", None
        kind.export(model, onnx)
        metrics["onnx_difference_max"] = check_onnx(model, onnx, source)
        if kind.export_batched:
            batched = Path(folder) / "batched.onnx"
            kind.export_batched(model, batched)
            metrics["onnx_batched_difference_max"] = check_batched(onnx, batched, source)
        contract = manifest(source.info, kind.name, run["seed"])
        samples = sample_requests(onnx, source)
        return register(registry, kind.name, onnx, contract, metrics, samples, batched, find_vectors_of(source))


def find_vectors_of(source: RowSource) -> Path | None:
    """The file of the item vectors that rows hold; None if they hold none. TrainingRowsError if it is missing."""
    if not source.info["features"].get("item_vectors"):
        return None
    path = source.directory / VECTORS
    if not path.is_file():
        raise TrainingRowsError(f"{path} is missing, which a model of these rows needs: run `crossrec replay`")
    return path


def manifest(info: dict[str, Any], kind: str, seed: int) -> dict[str, Any]:
    """The contract of a registered model: what the serving code must match, and what the model was made from."""
    taken = ("schema_fingerprint", "encoder_fingerprint", "tensors", "features", "sources", "data")
    return {"kind": kind, "seed": seed, **{name: info[name] for name in taken}}


def split_metrics(source: RowSource, scored: ScoredRows) -> dict[str, Any]:
    """Metrics over all rows of a split and per target scenario."""
    columns = source.columns("user_id", "request_id", "target")
    parts = (scored.label, scored.probability, columns["user_id"], columns["request_id"])
    result = {"all": ranking_metrics(*parts)}
    for number, scenario in enumerate(source.sources):
        chosen = columns["target"] == number
        if chosen.any():
            result[scenario] = ranking_metrics(*(part[chosen] for part in parts))
    return result


def _write_sources(path: Path, scores: SourceScores) -> None:
    width = scores.without.shape[1]
    without = pa.FixedSizeListArray.from_arrays(pa.array(scores.without.reshape(-1)), width)
    pq.write_table(pa.table({"row": scores.row, "own": scores.own, "without": without}), path)


def _write_predictions(path: Path, scored: Mapping[str, ScoredRows]) -> None:
    columns = {
        "row": np.concatenate([part.row for part in scored.values()]).astype(np.int64),
        "split": np.concatenate([np.full(len(part.row), split) for split, part in scored.items()]),
        "probability": np.concatenate([part.probability for part in scored.values()]).astype(np.float32),
    }
    pq.write_table(pa.table(columns), path)
