"""Evaluation of a data set: reads runs and rows, measures, and writes metrics.json and report.html.

Knows files and directories; metrics are in export.evaluation.measure, the report in export.evaluation.report.

metrics.json holds the figures of `export.evaluation.evaluate` and

    {"format": 1, "data": {"name", "notes": [...]}, "segments": {segment: meaning},
     "models": {kind: {..., "training": {"choices": [{"name", "value", "reason"}],
                                         "curve": [{"seed", "steps", "train_loss", "validation_loss", "kept"}]}}},
     "limits": [{"name", "found", "meaning"}], "checks": [{"name", "level", "found", "text"}] or null,
     "workload": {"seeds", "resamples", "confidence", "bins", "list_length", "seconds"},
     "versions": {package: version}, "machine": {...}, "seed": of the resampling, "created_at"}
"""

import json
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from export.evaluation.bootstrap import CONFIDENCE
from export.evaluation.calibration import BINS
from export.evaluation.evaluate import evaluate
from export.evaluation.limits import find_limits, read_facts
from export.evaluation.machine import machine, versions
from export.evaluation.measure import K
from export.evaluation.rows import EvaluationError, EvaluationRows, read_evaluation_rows
from export.evaluation.runs import read_predictions, read_training
from export.models.kinds import KINDS, named_kinds
from export.models.runs import is_current, run_directory
from export.rows.reader import read_info

FORMAT = 1
PACKAGES = ("crossrec", "numpy", "scipy", "scikit-learn", "torch", "lightgbm", "matplotlib")
EXPERIMENTS = ("ablation", "scarcity", "sources", "recogniser")
RESAMPLING_SEED = 0

OnRun = Callable[[int, int], None]


def compared_kinds(directory: Path, names: Sequence[str] | None) -> list[str]:
    """The kinds that are named; None: the default ones, and every other that has a run of the current training rows."""
    kinds = named_kinds(names)
    if names:
        return kinds
    info = read_info(directory / "rows")
    return [kind for kind in KINDS if kind in kinds or is_current(run_directory(directory, kind, 0), info)]


def missing_runs(directory: Path, kinds: Sequence[str], seeds: int) -> list[tuple[str, int]]:
    """Every kind and seed that has no finished run of the current training rows."""
    info = read_info(directory / "rows")
    runs = [(kind, seed) for kind in kinds for seed in range(seeds)]
    return [run for run in runs if not is_current(run_directory(directory, *run), info)]


def evaluate_dataset(
    directory: Path,
    kinds: Sequence[str],
    seeds: int,
    resamples: int,
    report: OnRun = lambda *_: None,
    checks: list[dict[str, str]] | None = None,
) -> dict[str, Any]:
    """The content of metrics.json, for runs that exist.

    Args:
        directory: that of the data set.
        kinds: the models.
        seeds: runs of each, with seeds 0, 1, ...
        resamples: of the bootstrap.
        report: called with the runs measured so far and their total.
        checks: findings of the data check: name, level, found, text; None: it was not run.
    """
    began = time.perf_counter()
    rows = read_evaluation_rows(directory / "rows")
    runs = {kind: [read_predictions(directory, kind, seed, rows) for seed in range(seeds)] for kind in kinds}
    figures = evaluate(rows, runs, resamples, RESAMPLING_SEED, report)
    for kind, model in figures["models"].items():
        model["training"] = read_training(directory, kind, seeds)
    return {
        "format": FORMAT,
        "data": _data(directory, rows),
        **figures,
        "limits": find_limits(read_facts(directory / "rows"), figures),
        "checks": checks,
        "segments": rows.segments,
        "workload": {
            "seeds": seeds,
            "resamples": resamples,
            "confidence": CONFIDENCE,
            "bins": BINS,
            "list_length": K,
            "seconds": round(time.perf_counter() - began, 1),
        },
        "versions": versions(PACKAGES),
        "machine": machine(),
        "seed": RESAMPLING_SEED,
        "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _data(directory: Path, rows: EvaluationRows) -> dict[str, Any]:
    """Name, sizes and notes of the data set."""
    path = directory / "dataset.json"
    info: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    source = info.get("source") or {}
    notes = [source["notice"]] if "notice" in source else []
    return {
        "name": f"{directory.parents[1].name}, {rows.split_name}" if rows.split_name else directory.name,
        "rows": rows.total,
        "sources": list(rows.sources),
        "text_encoder": read_info(directory / "rows")["data"].get("text_encoder", {}),
        "arguments": info.get("arguments", {}),
        "notes": [*notes, *info.get("notes", [])],
    }


def read_experiments(directory: Path) -> dict[str, dict[str, Any]]:
    """Results of the experiments that were run on a data set, by name; EvaluationError if a file is broken."""
    results = {}
    for name in EXPERIMENTS:
        path = directory / "experiments" / f"{name}.json"
        if path.exists():
            try:
                results[name] = json.loads(path.read_text())
            except json.JSONDecodeError as error:
                raise EvaluationError(f"{path}: is not JSON ({error}): run the experiment again") from error
    return results


def write_evaluation(out: Path, figures: dict[str, Any], experiments: dict[str, dict[str, Any]]) -> None:
    """Write metrics.json and report.html."""
    from export.evaluation.report import render_report

    out.mkdir(parents=True, exist_ok=True)
    page = render_report(figures, experiments)
    (out / "metrics.json").write_text(json.dumps(figures, indent=1, allow_nan=False) + "\n")
    (out / "report.html").write_text(page, encoding="utf-8")
