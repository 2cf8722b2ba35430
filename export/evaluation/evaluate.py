"""From rows and runs to figures: every metric of every model with intervals, and the models compared.

Pure: knows nothing of files, training or how figures are shown.

    {"baseline": kind, "subsets": {subset: {rows, positives, users, requests, items}}, "scenarios": [...],
     "models": {kind: {"seeds": [...], "validation_auc": ..., "transfers": bool, "thresholds": [...],
                       "test": {"all": {metric: estimate}, scenario: {...}, ..., "segments": {segment: {...}}},
                       "reliability": [{"probability", "positive", "rows"}],
                       "transfer": {"sources", "mean": [[M[i,j]]], "over_seeds": [[deviation]] or null,
                                    "over_contexts": [[deviation]]}}},
     "differences": {reference kind: {kind: {subset: {metric: {"value", "low", "high", "p", "seeds"}, ...,
                                                    "wilcoxon_p"}}}}}

An estimate is {"value", "low", "high", "seeds": [value per seed], "deviation": over seeds}: the mean over seeds with
the 95 % interval of a bootstrap over users. null: cannot be measured. A subset without rows has no metrics: {}.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from export.evaluation.bootstrap import interval, p_value, user_counts, wilcoxon_p
from export.evaluation.calibration import reliability
from export.evaluation.groups import Floats
from export.evaluation.measure import Grouped, measure
from export.evaluation.metrics import auc, best_f1_threshold
from export.evaluation.rows import SEGMENTS, EvaluationError, EvaluationRows, Mask, restricted
from export.evaluation.runs import Predictions

COMPARED = ("auc", "gauc", "ndcg_at_10", "log_loss", "ece")
"""Metrics whose paired differences are given."""

POOLED = "pooled"
"""The model that transfer is compared with beside the best baseline: the same features, no scenario weights."""


@dataclass(frozen=True)
class Measured:
    """A kind on a subset: metrics [seeds, 1 + B], and users' AUC [U] averaged over seeds."""

    metrics: Mapping[str, Floats]
    user_auc: Floats


Table = dict[str, dict[str, Measured]]
"""By kind and subset."""


def evaluate(
    rows: EvaluationRows,
    runs: Mapping[str, Sequence[Predictions]],
    resamples: int,
    seed: int,
    report: Callable[[int, int], None] = lambda *_: None,
) -> dict[str, Any]:
    """The figures of all kinds (module docstring); `report` is called with runs measured and runs in all."""
    subsets = rows.subsets()
    tested = np.unique(rows.grouped.user[subsets["all"]])
    counts = np.zeros((1 + resamples, rows.grouped.users))
    counts[:, tested] = user_counts(len(tested), resamples, seed)
    thresholds = {kind: [_threshold(rows, run) for run in kind_runs] for kind, kind_runs in runs.items()}
    table = _measure_all(rows, runs, subsets, thresholds, counts, report)
    validation = {kind: _validation_auc(rows, kind_runs) for kind, kind_runs in runs.items()}
    baseline = best_baseline(runs, validation)
    references = [kind for kind in dict.fromkeys([baseline, POOLED]) if kind is not None and kind in runs]
    return {
        "baseline": baseline,
        "scenarios": [name for name in rows.sources if name in subsets],
        "subsets": {name: _sizes(rows.grouped, mask) for name, mask in subsets.items()},
        "models": {
            kind: {
                "seeds": [run.seed for run in runs[kind]],
                "validation_auc": _number(validation[kind]),
                "transfers": _transfers(runs[kind]),
                "thresholds": thresholds[kind],
                "test": _tested(table[kind], list(subsets)),
                "reliability": _reliability(rows, runs[kind]),
                "transfer": _transfer(runs[kind]),
            }
            for kind in runs
        },
        "differences": {reference: _differences(table, reference) for reference in references},
    }


def best_baseline(runs: Mapping[str, Sequence[Predictions]], validation: Mapping[str, float]) -> str | None:
    """The kind without transfer weights that has the highest validation AUC; None without any."""
    kinds = [kind for kind in runs if not _transfers(runs[kind])]
    known = [kind for kind in kinds if not np.isnan(validation[kind])]
    return max(known, key=lambda kind: validation[kind]) if known else next(iter(kinds), None)


def _transfers(runs: Sequence[Predictions]) -> bool:
    return any(run.transfer is not None for run in runs)


def _measure_all(
    rows: EvaluationRows,
    runs: Mapping[str, Sequence[Predictions]],
    subsets: Mapping[str, Mask],
    thresholds: Mapping[str, Sequence[float]],
    counts: Floats,
    report: Callable[[int, int], None],
) -> Table:
    """Every run on every subset that has rows."""
    parts = {name: restricted(rows.grouped, mask) for name, mask in subsets.items() if mask.any()}
    total, done = sum(map(len, runs.values())), 0
    table: Table = {}
    for kind, kind_runs in runs.items():
        found: dict[str, list[tuple[dict[str, Floats], Floats]]] = {name: [] for name in parts}
        for run, threshold in zip(kind_runs, thresholds[kind], strict=True):
            for name, part in parts.items():
                found[name].append(measure(part, run.probability[subsets[name]], threshold, counts))
            done += 1
            report(done, total)
        table[kind] = {name: _over_seeds(seeds) for name, seeds in found.items()}
    return table


def _over_seeds(seeds: Sequence[tuple[dict[str, Floats], Floats]]) -> Measured:
    metrics = {name: np.stack([found[name] for found, _ in seeds]) for name in seeds[0][0]}
    return Measured(metrics, np.mean([user_auc for _, user_auc in seeds], axis=0))


def _split(rows: EvaluationRows, run: Predictions, split: str) -> tuple[np.ndarray, Floats]:
    mask = rows.split == split
    return rows.grouped.label[mask], run.probability[mask]


def _threshold(rows: EvaluationRows, run: Predictions) -> float:
    return best_f1_threshold(*_split(rows, run, "validation"))


def _validation_auc(rows: EvaluationRows, runs: Sequence[Predictions]) -> float:
    """Mean over seeds; NaN without validation rows."""
    if not (rows.split == "validation").any():
        return float("nan")
    return float(np.mean([auc(*_split(rows, run, "validation")) for run in runs]))


def _sizes(rows: Grouped, mask: Mask) -> dict[str, int]:
    distinct = {"users": rows.user, "requests": rows.request, "items": rows.item}
    counted = {name: len(np.unique(values[mask])) for name, values in distinct.items()}
    return {"rows": int(mask.sum()), "positives": int(rows.label[mask].sum()), **counted}


def _tested(measured: Mapping[str, Measured], subsets: Sequence[str]) -> dict[str, Any]:
    """Estimates by subset; segments apart, so that a scenario may bear any name but these."""
    found = {name: _estimates(measured[name]) if name in measured else {} for name in subsets}
    segments = {name: found.pop(name) for name in SEGMENTS}
    return {**found, "segments": segments}


def _estimates(measured: Measured) -> dict[str, Any]:
    return {name: _estimate(values) for name, values in measured.metrics.items()}


def _estimate(values: Floats) -> dict[str, Any]:
    """Of values [seeds, 1 + B]."""
    mean = values.mean(axis=0)
    low, high = interval(mean[1:])
    seeds = values[:, 0]
    deviation = float(seeds.std(ddof=1)) if len(seeds) > 1 else None
    return {
        "value": _number(float(mean[0])),
        "low": _number(low),
        "high": _number(high),
        "seeds": [_number(float(value)) for value in seeds],
        "deviation": _number(deviation),
    }


def _number(value: float | None) -> float | None:
    """JSON has no NaN."""
    return None if value is None or np.isnan(value) else float(value)


def _differences(table: Table, reference: str) -> dict[str, Any]:
    """Each other kind minus the reference, by subset."""
    return {
        kind: {name: _difference(measured, table[reference][name]) for name, measured in subsets.items()}
        for kind, subsets in table.items()
        if kind != reference
    }


def _difference(first: Measured, second: Measured) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in COMPARED:
        values = first.metrics[name].mean(axis=0) - second.metrics[name].mean(axis=0)
        low, high = interval(values[1:])
        numbers = {"value": float(values[0]), "low": low, "high": high, "p": p_value(values[1:])}
        seeds = first.metrics[name][:, 0] - second.metrics[name][:, 0]
        found[name] = {key: _number(value) for key, value in numbers.items()}
        found[name]["seeds"] = [_number(float(value)) for value in seeds]
    return {**found, "wilcoxon_p": wilcoxon_p(first.user_auc, second.user_auc)}


def _reliability(rows: EvaluationRows, runs: Sequence[Predictions]) -> list[dict[str, float]]:
    """The curve of all seeds' test probabilities together."""
    labels, probabilities = zip(*(_split(rows, run, "test") for run in runs), strict=True)
    return reliability(np.concatenate(labels), np.concatenate(probabilities))


def _transfer(runs: Sequence[Predictions]) -> dict[str, Any] | None:
    """Weights averaged over seeds, with their deviation over seeds and (mean of seeds) over contexts."""
    found = [run.transfer for run in runs if run.transfer is not None]
    if not found:
        return None
    if any(first["sources"] != second["sources"] for first, second in pairwise(found)):
        raise EvaluationError(f"transfer.json of {runs[0].kind}: field sources: differs between seeds: train again")
    mean = np.array([part["mean"] for part in found], float)
    return {
        "sources": found[0]["sources"],
        "mean": mean.mean(axis=0).tolist(),
        "over_seeds": mean.std(axis=0, ddof=1).tolist() if len(found) > 1 else None,
        "over_contexts": np.array([part["sd"] for part in found], float).mean(axis=0).tolist(),
    }
