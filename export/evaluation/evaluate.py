"""Every metric of every model with intervals, and paired differences between models.

Pure: knows nothing of files, training or reports. The figures:

    {"baseline": kind, "scenarios": [...], "negatives": {"uniform", "popularity", "given": test rows of each},
     "subsets": {subset: {rows, positives, users, requests, items, compared_requests}},
     "models": {kind: {"seeds": [...], "validation_auc": ..., "transfers": bool, "thresholds": [...],
                       "test": {"all": {metric: estimate}, scenario: {...}, ..., "segments": {segment: {...}}},
                       "reliability": [{"probability", "positive", "rows"}],
                       "transfer": {...} of export.evaluation.transfer_evidence, or null}},
     "differences": {reference kind: {kind: {subset: {metric: {"value", "low", "high", "p", "seeds"}, ...,
                                                    "wilcoxon_p"}}}}}

An estimate is {"value", "low", "high", "seeds": [value per seed], "deviation": over seeds}: the mean over seeds with
the 95 % interval of a bootstrap over users. null: not measurable. A subset without rows has no metrics: {}.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from export.evaluation.bootstrap import estimate, json_number, p_value, percentile_interval, user_counts, wilcoxon_p
from export.evaluation.calibration import reliability
from export.evaluation.groups import Floats, comparable
from export.evaluation.measure import GroupedRows, measure
from export.evaluation.metrics import auc, best_f1_threshold
from export.evaluation.rows import EvaluationRows, Mask, select_rows
from export.evaluation.runs import Predictions
from export.evaluation.transfer_evidence import transfer_evidence

COMPARED = ("auc", "gauc", "ndcg_at_10", "log_loss", "ece")
"""Metrics that have paired differences."""

POOLED = "pooled"
"""Reference model beside the best baseline: the same features, no transfer weights."""


@dataclass(frozen=True)
class SubsetMetrics:
    """Metrics of a kind on a subset: [seeds, 1 + B] each, and users' AUC [U] averaged over seeds."""

    metrics: Mapping[str, Floats]
    user_auc: Floats


MetricTable = dict[str, dict[str, SubsetMetrics]]
"""By kind and subset."""


def evaluate(
    rows: EvaluationRows,
    runs: Mapping[str, Sequence[Predictions]],
    resamples: int,
    seed: int,
    report: Callable[[int, int], None] = lambda *_: None,
) -> dict[str, Any]:
    """The figures of all kinds (module docstring); `report` is called with the runs measured so far and their total."""
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
        "negatives": rows.negatives(),
        "subsets": {name: _sizes(rows.grouped, mask) for name, mask in subsets.items()},
        "models": {
            kind: {
                "seeds": [run.seed for run in runs[kind]],
                "validation_auc": json_number(validation[kind]),
                "transfers": _has_transfer(runs[kind]),
                "thresholds": thresholds[kind],
                "test": _test_estimates(table[kind], list(subsets), rows.segments),
                "reliability": _reliability(rows, runs[kind]),
                "transfer": transfer_evidence(rows, runs[kind], counts),
            }
            for kind in runs
        },
        "differences": {reference: _differences(table, reference) for reference in references},
    }


def best_baseline(runs: Mapping[str, Sequence[Predictions]], validation: Mapping[str, float]) -> str | None:
    """The kind without transfer weights that has the highest validation AUC; None without any."""
    kinds = [kind for kind in runs if not _has_transfer(runs[kind])]
    known = [kind for kind in kinds if not np.isnan(validation[kind])]
    return max(known, key=lambda kind: validation[kind]) if known else next(iter(kinds), None)


def _has_transfer(runs: Sequence[Predictions]) -> bool:
    return any(run.transfer is not None for run in runs)


def _measure_all(
    rows: EvaluationRows,
    runs: Mapping[str, Sequence[Predictions]],
    subsets: Mapping[str, Mask],
    thresholds: Mapping[str, Sequence[float]],
    counts: Floats,
    report: Callable[[int, int], None],
) -> MetricTable:
    """Every run on every subset that has rows."""
    parts = {name: select_rows(rows.grouped, mask) for name, mask in subsets.items() if mask.any()}
    total, done = sum(map(len, runs.values())), 0
    table: MetricTable = {}
    for kind, kind_runs in runs.items():
        measured: dict[str, list[tuple[dict[str, Floats], Floats]]] = {name: [] for name in parts}
        for run, threshold in zip(kind_runs, thresholds[kind], strict=True):
            for name, part in parts.items():
                measured[name].append(measure(part, run.probability[subsets[name]], threshold, counts))
            done += 1
            report(done, total)
        table[kind] = {name: _stack_seeds(seeds) for name, seeds in measured.items()}
    return table


def _stack_seeds(seeds: Sequence[tuple[dict[str, Floats], Floats]]) -> SubsetMetrics:
    metrics = {name: np.stack([values[name] for values, _ in seeds]) for name in seeds[0][0]}
    return SubsetMetrics(metrics, np.mean([user_auc for _, user_auc in seeds], axis=0))


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


def _sizes(rows: GroupedRows, mask: Mask) -> dict[str, int]:
    distinct = {"users": rows.user, "requests": rows.request, "items": rows.item}
    counted = {name: len(np.unique(values[mask])) for name, values in distinct.items()}
    part = select_rows(rows, mask)
    requests = int(part.request.max(initial=-1)) + 1
    counted["compared_requests"] = int(comparable(part.label, part.request, requests).sum())
    return {"rows": int(mask.sum()), "positives": int(rows.label[mask].sum()), **counted}


def _test_estimates(
    measured: Mapping[str, SubsetMetrics], subsets: Sequence[str], segment_names: Iterable[str]
) -> dict[str, Any]:
    """Estimates by subset; segments apart, so that a scenario may have a segment's name."""
    estimates = {name: _estimates(measured[name]) if name in measured else {} for name in subsets}
    segments = {name: estimates.pop(name) for name in segment_names}
    return {**estimates, "segments": segments}


def _estimates(measured: SubsetMetrics) -> dict[str, Any]:
    return {name: estimate(values) for name, values in measured.metrics.items()}


def _differences(table: MetricTable, reference: str) -> dict[str, Any]:
    """Every other kind minus the reference, by subset."""
    return {
        kind: {name: _difference(measured, table[reference][name]) for name, measured in subsets.items()}
        for kind, subsets in table.items()
        if kind != reference
    }


def _difference(first: SubsetMetrics, second: SubsetMetrics) -> dict[str, Any]:
    differences: dict[str, Any] = {}
    for name in COMPARED:
        values = first.metrics[name].mean(axis=0) - second.metrics[name].mean(axis=0)
        low, high = percentile_interval(values[1:])
        numbers = {"value": float(values[0]), "low": low, "high": high, "p": p_value(values[1:])}
        seeds = first.metrics[name][:, 0] - second.metrics[name][:, 0]
        differences[name] = {key: json_number(value) for key, value in numbers.items()}
        differences[name]["seeds"] = [json_number(float(value)) for value in seeds]
    return {**differences, "wilcoxon_p": wilcoxon_p(first.user_auc, second.user_auc)}


def _reliability(rows: EvaluationRows, runs: Sequence[Predictions]) -> list[dict[str, float]]:
    """Reliability curve of the test probabilities of all seeds."""
    labels, probabilities = zip(*(_split(rows, run, "test") for run in runs), strict=True)
    return reliability(np.concatenate(labels), np.concatenate(probabilities))
