"""How far transfer weights can be believed: stability over seeds, calibration of P, and worth of sources.

Pure: knows nothing of files, training or reports. Figures of one kind of model:

    {"sources": [...], "mean": [[M[i,j]]], "over_seeds": [[deviation]] or null, "over_contexts": [[deviation]],
     "share": [[M[i,j] / sum_j M[i,j]]], "share_over_seeds": [[deviation]] or null,
     "stability": {"rank_correlation", "off_diagonal": least of any two seeds,
                   "pairs": [{"seeds": [a, b], "rank_correlation", "off_diagonal"}]} or null,
     "calibration": {scenario: {"ece": estimate}} or null,
     "worth": {"rank_correlation": {"value", "low", "high"}, "pairs": number supported, "of": number,
               "log_loss": [[worth]], "over_seeds": [[deviation]] or null} or null}

Matrices have a row per source scenario as target i and a column per source j; of scenarios without test rows, worth is
null. Rank correlations (Spearman, 1904) are over target scenarios with test rows.
"""

from collections.abc import Mapping, Sequence
from itertools import combinations, pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.evaluation.bootstrap import RatioMetric, estimate, json_number, percentile_interval
from export.evaluation.groups import Floats, Ints, group_sum
from export.evaluation.measure import ece_metric
from export.evaluation.metrics import row_log_losses
from export.evaluation.rows import EvaluationError, EvaluationRows, select_rows
from export.evaluation.runs import Predictions, SourcePredictions
from services.features.population import shares
from services.ranking.model.agreement import rank_correlation as spearman

Mask = NDArray[np.bool_]


def transfer_evidence(rows: EvaluationRows, runs: Sequence[Predictions], counts: Floats) -> dict[str, Any] | None:
    """The figures of a kind's runs (module docstring); None for models without transfer weights.

    Args:
        rows: the evaluated rows.
        runs: one per seed.
        counts: how often each user counts [1 + B, U].
    """
    summaries = [run.transfer for run in runs if run.transfer is not None]
    if not summaries:
        return None
    if any(first["sources"] != second["sources"] for first, second in pairwise(summaries)):
        raise EvaluationError(f"transfer.json of {runs[0].kind}: field sources: differs between seeds: train again")
    weights = np.array([part["mean"] for part in summaries], float)
    share, targets = shares(weights), _targets(rows)
    parts = [run.sources for run in runs if run.sources is not None]
    known = len(parts) == len(runs)
    return {
        "sources": summaries[0]["sources"],
        "mean": weights.mean(axis=0).tolist(),
        "over_seeds": _over_seeds(weights),
        "over_contexts": np.array([part["sd"] for part in summaries], float).mean(axis=0).tolist(),
        "share": share.mean(axis=0).tolist(),
        "share_over_seeds": _over_seeds(share),
        "stability": stability(share, targets, [run.seed for run in runs]),
        "calibration": _calibration(rows, parts, targets, counts) if known else None,
        "worth": _worth(rows, runs, targets, share.mean(axis=0), counts) if known else None,
    }


def off_diagonal(targets: Sequence[int], sources: int) -> Mask:
    """Cells [I, J] of the targets' rows and other sources."""
    mask = np.zeros((sources, sources), bool)
    mask[targets] = True
    return mask & ~np.eye(sources, dtype=bool)


def rank_correlation(first: Floats, second: Floats) -> float:
    """Spearman's; NaN for fewer than two values or where all are equal. Rounding in the last digit is no difference."""
    return spearman(first.round(12), second.round(12)) if len(first) else float("nan")


def stability(share: Floats, targets: Sequence[int], seeds: Sequence[int]) -> dict[str, Any] | None:
    """Agreement of the shares [seeds, I, J] of any two seeds; None for one seed."""
    others = off_diagonal(targets, share.shape[-1])
    found = {
        both: {
            "rank_correlation": rank_correlation(share[a][targets].ravel(), share[b][targets].ravel()),
            "off_diagonal": rank_correlation(share[a][others], share[b][others]),
        }
        for (a, b), both in zip(combinations(range(len(seeds)), 2), combinations(seeds, 2), strict=True)
    }
    if not found:
        return None
    least = {name: np.min([pair[name] for pair in found.values()]) for name in ("rank_correlation", "off_diagonal")}
    pairs = [{"seeds": [*both], **_json_numbers(pair)} for both, pair in found.items()]
    return {**_json_numbers(least), "pairs": pairs}


def _targets(rows: EvaluationRows) -> list[int]:
    """Places of the scenarios that have test rows."""
    return [int(place) for place in np.unique(rows.target[rows.split == "test"])]


def _over_seeds(values: Floats) -> list[Any] | None:
    """Deviation over seeds of values [seeds, ...]."""
    deviation: list[Any] | None = values.std(axis=0, ddof=1).tolist() if len(values) > 1 else None
    return deviation


def _calibration(
    rows: EvaluationRows, parts: Sequence[SourcePredictions], targets: Sequence[int], counts: Floats
) -> dict[str, Any]:
    """ECE of P[j] on the test rows of scenario j."""
    test, found = rows.split == "test", {}
    for place in targets:
        chosen = rows.target[test] == place
        grouped = select_rows(rows.grouped, test & (rows.target == place))
        values = [ece_metric(grouped, part.own[chosen]).resample(counts) for part in parts]
        found[rows.sources[place]] = {"ece": estimate(np.stack(values))}
    return found


def _worth(
    rows: EvaluationRows, runs: Sequence[Predictions], targets: Sequence[int], share: Floats, counts: Floats
) -> dict[str, Any]:
    """Increase in the log loss on target i where source j is left out, and its rank correlation with j's share."""
    worth = np.full((len(runs), len(counts), *share.shape), np.nan)
    test = rows.split == "test"
    positive, user, target = rows.grouped.label[test, None] == 1, rows.grouped.user[test], rows.target[test]
    for seed, run in enumerate(runs):
        if run.sources is not None:
            increase = row_log_losses(positive, run.sources.without) - row_log_losses(
                positive, run.probability[test, None]
            )
            for place in targets:
                chosen = target == place
                worth[seed, :, place] = _resampled_means(increase[chosen], user[chosen], counts)
    return worth_figures(worth, share, targets)


def worth_figures(worth: Floats, share: Floats, targets: Sequence[int]) -> dict[str, Any]:
    """The figures of worth [seeds, 1 + B, I, J], in nats, and shares [I, J].

    A pair of a target and another source is supported where the size of its mean worth exceeds the worth's deviation
    over seeds (with one seed: every pair); the correlation is over these pairs.
    """
    mean, others = worth.mean(axis=0), off_diagonal(targets, share.shape[-1]) & ~np.isnan(worth[:, 0]).any(axis=0)
    noise = worth[:, 0].std(axis=0, ddof=1) if len(worth) > 1 else np.zeros_like(share)
    supported = others & (np.abs(mean[0]) > noise)
    value, *resampled = (rank_correlation(share[supported], values[supported]) for values in mean)
    low, high = percentile_interval(np.array(resampled))
    return {
        "rank_correlation": _json_numbers({"value": value, "low": low, "high": high}),
        "pairs": int(supported.sum()),
        "of": int(others.sum()),
        "log_loss": _json_matrix(mean[0]),
        "over_seeds": _json_matrix(noise) if len(worth) > 1 else None,
    }


def _resampled_means(values: Floats, user: Ints, counts: Floats) -> Floats:
    """Means [B, V] of values [R, V] under counts of users [B, U]."""
    users = counts.shape[1]
    rows = group_sum(user, np.ones(len(user)), users)
    columns = [RatioMetric(group_sum(user, column, users), rows).resample(counts) for column in values.T]
    return np.stack(columns, axis=1)


def _json_numbers(values: Mapping[str, float]) -> dict[str, float | None]:
    return {name: json_number(value) for name, value in values.items()}


def _json_matrix(values: Floats) -> list[list[float | None]]:
    return [[json_number(float(value)) for value in line] for line in values]
