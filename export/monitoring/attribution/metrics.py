"""Metrics of shown items per scenario, model and arm: click rate, NDCG and calibration, with intervals.

Intervals come from resampling users, with the code of model evaluation. Pure; knows nothing of Kafka or output.
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from export.evaluation.bootstrap import EceMetric, RatioMetric, percentile_interval, user_counts
from export.evaluation.calibration import BINS, equal_mass_bins, reliability
from export.evaluation.groups import Floats, Ints, group_ndcg, group_sum
from export.monitoring.attribution.join import AnswerGroup, ShownItems

SEED = 0


@dataclass(frozen=True)
class Estimate:
    """A metric and its 95 % interval; None where there is nothing to measure."""

    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class GroupMetrics:
    """Metrics of one group of answers.

    Args:
        scenario: target scenario; "" in the line over all groups.
        model: name and version; likewise.
        arm: arm of the experiment; likewise.
        answers: answers in the log.
        shown_answers: answers with at least one shown item.
        users: users of shown answers.
        impressions: items shown, once per answer.
        clicks: items with an outcome, once per answer.
        ctr: clicks per impression.
        ndcg: NDCG@k of the answers with a click, by the positions in the answer.
        predicted: mean predicted probability of the shown items; compare with ctr.
        ece: expected calibration error, in bins of equal mass.
        reliability: per bin: mean probability, share clicked, rows.
    """

    scenario: str
    model: str
    arm: str
    answers: int
    shown_answers: int
    users: int
    impressions: int
    clicks: int
    ctr: Estimate
    ndcg: Estimate
    predicted: float | None
    ece: Estimate
    reliability: list[dict[str, float]]


def measure_groups(items: ShownItems, k: int, resamples: int) -> list[GroupMetrics]:
    """Metrics per group, then over all groups; NDCG at `k`, intervals from `resamples` bootstrap resamples."""
    lines = []
    for number, group in enumerate(items.groups):
        lines.append(_measure_group(items, items.group == number, group, int(items.answers[number]), k, resamples))
    if len(items.groups) > 1:
        every = np.ones(len(items.group), bool)
        lines.append(_measure_group(items, every, ("", "", ""), int(items.answers.sum()), k, resamples))
    return lines


def to_dicts(lines: list[GroupMetrics]) -> list[dict[str, Any]]:
    """The metrics as plain values."""
    return [asdict(line) for line in lines]


def _measure_group(
    items: ShownItems, rows: np.ndarray, group: AnswerGroup, answers: int, k: int, resamples: int
) -> GroupMetrics:
    label, probability = items.label[rows], items.probability[rows]
    users, user = np.unique(items.user[rows], return_inverse=True)
    shown, answer = np.unique(items.answer[rows], return_inverse=True)
    nothing = Estimate(None, None, None)
    head = (*group, answers, len(shown), len(users), len(label), int(label.sum()))
    if not len(label):
        return GroupMetrics(*head, nothing, nothing, None, nothing, [])
    counts = user_counts(len(users), resamples, SEED)
    ctr = RatioMetric(group_sum(user, label, len(users)), group_sum(user, np.ones(len(label)), len(users)))
    ndcg = _ndcg(k, label, items.position[rows], answer, user, len(users))
    calibration = _calibration(label, probability, user, len(users))
    return GroupMetrics(
        *head,
        _estimate(ctr.resample(counts)),
        _estimate(ndcg.resample(counts)),
        float(probability.mean()),
        _estimate(calibration.resample(counts)),
        reliability(label, probability),
    )


def _ndcg(k: int, label: Ints, position: Ints, answer: Ints, user: Ints, users: int) -> RatioMetric:
    """Mean over answers with a click, as sums per user."""
    answers = int(answer.max()) + 1
    value = group_ndcg(k, label, position, answer, answers)
    owner = np.zeros(answers, np.int64)
    owner[answer] = user
    known = ~np.isnan(value)
    return RatioMetric(
        group_sum(owner[known], value[known], users), group_sum(owner[known], np.ones(known.sum()), users)
    )


def _calibration(label: Ints, probability: Floats, user: Ints, users: int) -> EceMetric:
    excess = np.zeros((users, BINS))
    np.add.at(excess, (user, equal_mass_bins(probability)), label - probability)
    return EceMetric(excess, group_sum(user, np.ones(len(label)), users))


def _estimate(values: Floats) -> Estimate:
    low, high = percentile_interval(values[1:])
    return Estimate(*(None if np.isnan(value) else float(value) for value in (values[0], low, high)))
