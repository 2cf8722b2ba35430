"""Comparisons of a shadow model with the served one."""

import json
import logging
import math

import numpy as np
import pytest

from services.features.config import FeatureConfig
from services.features.encode import Tensors
from services.features.schema import build_schema
from services.ranking.model.agreement import compare_scores, rank_correlation
from services.ranking.model.shadow import ShadowScorer
from services.registry.model import FakeModel, Scores
from services.server.logging import JsonFormatter
from tests.unit.ranking.model.tiny_models import tensors_of
from tests.waiting import wait_until

TENSORS, TARGET = tensors_of(build_schema(FeatureConfig(text_dims=3)), 12, 2), np.array([0.25, 0.75])


def scores(*values: float) -> Scores:
    score = np.array(values)
    return Scores(np.ones((len(values), 1)), np.array([2.0]), score, score / 2)


class NegatedModel(FakeModel):
    """The fake model's scores with the opposite sign."""

    version = "backwards/1"

    def score(self, tensors: Tensors, target: np.ndarray, _left_s: float = 0.0) -> Scores:
        found = super().score(tensors, target)
        return Scores(found.preference, found.transfer, -found.score, -found.probability)


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ([1, 2, 3], [10, 20, 30], 1.0),
        ([1, 2, 3], [3, 2, 1], -1.0),
        ([1, 2, 3, 4, 5], [2, 1, 4, 3, 5], 0.8),
        ([1, 1, 2], [1, 2, 3], 3**0.5 / 2),
        ([1, 1], [1, 2], math.nan),
        ([1], [1], math.nan),
    ],
)
def test_rank_correlation_is_spearmans(first: list[float], second: list[float], expected: float) -> None:
    """1 - 6 sum d^2 / (n (n^2 - 1)) without ties, Pearson's of the mean ranks with them."""
    assert rank_correlation(np.array(first), np.array(second)) == pytest.approx(expected, nan_ok=True)


def test_agreement_of_two_models() -> None:
    """Differences are means over the candidates; with fewer than ten candidates, the top ten are all of them."""
    found = compare_scores(scores(0.1, 0.2, 0.3), scores(0.2, 0.2, 0.1))
    assert (0.1, 0.05, 1.0) == pytest.approx(
        (found.score_difference, found.probability_difference, found.top10_overlap)
    )
    many = compare_scores(scores(*range(20)), scores(*(-value if value == 19 else value for value in range(20))))
    assert 0.9 == many.top10_overlap


def offer(shadow: ShadowScorer, candidate: FakeModel, served: str = "fake/1") -> None:
    shadow.offer(served, candidate, lambda _: TENSORS, TARGET, FakeModel().score(TENSORS, TARGET))


def wait_for(shadow: ShadowScorer, requests: int, candidate: str = "fake/1") -> None:
    wait_until(
        lambda: sum(found.requests for found in shadow.comparisons() if found.candidate == candidate) >= requests
    )


def test_means_are_kept_per_pair_of_versions() -> None:
    """Only for the current candidate; means of earlier ones are discarded."""
    shadow = ShadowScorer(1.0, 100)
    shadow.start()
    try:
        for served in ("fake/1", "fake/1", "fake/2"):
            offer(shadow, FakeModel(), served)
        wait_for(shadow, 3)
        same = {(found.served, found.requests): found.mean for found in shadow.comparisons()}
        assert {("fake/1", 2), ("fake/2", 1)} == set(same)
        for mean in same.values():
            assert (0.0, 0.0, 1.0, 1.0) == pytest.approx(
                (mean.score_difference, mean.probability_difference, mean.rank_correlation, mean.top10_overlap)
            )
        offer(shadow, NegatedModel())
        wait_for(shadow, 1, "backwards/1")
        (found,) = shadow.comparisons()
        assert ("fake/1", "backwards/1", 1) == (found.served, found.candidate, found.requests)
        assert -1.0 == pytest.approx(found.mean.rank_correlation)
    finally:
        shadow.stop()


def test_requests_beyond_the_queue_are_dropped_and_counted() -> None:
    """No thread reads the queue here."""
    shadow = ShadowScorer(1.0, 3)
    for _ in range(8):
        offer(shadow, FakeModel())
    (found,) = shadow.comparisons()
    assert (0, 5) == (found.requests, found.dropped)
    assert math.isnan(found.mean.rank_correlation)


def test_a_share_of_the_requests_is_sampled() -> None:
    """No requests for a share of 0."""
    shadow = ShadowScorer(0.0, 1)
    for _ in range(8):
        offer(shadow, FakeModel())
    assert [] == shadow.comparisons()


def test_comparisons_are_logged_every_minute(caplog: pytest.LogCaptureFixture) -> None:
    """With counts and means, as finite numbers."""
    caplog.set_level(logging.INFO, "services.ranking.model.shadow")
    now_s = [0.0]
    shadow = ShadowScorer(1.0, 8, clock=lambda: now_s[0])
    shadow.start()
    try:
        offer(shadow, FakeModel())
        wait_for(shadow, 1)
        assert [] == caplog.records
        now_s[0] = 61.0
        offer(shadow, FakeModel())
        wait_until(lambda: caplog.records)
    finally:
        shadow.stop()
    line = json.loads(JsonFormatter().format(caplog.records[0]))
    assert ("shadow_compared", "fake/1", "fake/1") == (line["event"], line["served"], line["candidate"])
    assert 1.0 == line["rank_correlation"]
    assert 1 <= line["requests"] <= 2
