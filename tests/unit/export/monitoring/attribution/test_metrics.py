"""Metrics of the campaign, calculated by hand."""

import pytest

from export.monitoring.attribution.join import join_events
from export.monitoring.attribution.metrics import Estimate, measure_groups
from tests.unit.export.monitoring.attribution.campaign import CTR, NDCG, PREDICTED, answers, observed, outcomes


def test_metrics_per_arm_and_over_all() -> None:
    """Arm x has 5 items shown and 2 clicked; arm y was never shown; the last line is over both."""
    made = answers()
    x, y, both = measure_groups(join_events(made, [observed(*line) for line in outcomes(made)], {"click"}), 10, 200)
    assert ("tv", "m/1", "x", 2, 2, 2, 5, 2) == (
        *(x.scenario, x.model, x.arm, x.answers),
        *(x.shown_answers, x.users, x.impressions, x.clicks),
    )
    assert (CTR, pytest.approx(NDCG), pytest.approx(PREDICTED)) == (x.ctr.value, x.ndcg.value, x.predicted)
    # Three bins, by probability: 0.8 (1 of 2), 0.5 (1 of 2), 0.2 (0 of 1).
    assert pytest.approx((2 * 0.3 + 2 * 0.0 + 1 * 0.2) / 5) == x.ece.value
    assert [(0.2, 0.0, 1), (0.5, 0.5, 2), (0.8, 0.5, 2)] == [
        (pytest.approx(line["probability"]), line["positive"], line["rows"]) for line in x.reliability
    ]
    assert (1, 0, Estimate(None, None, None)) == (y.answers, y.impressions, y.ctr)
    assert (3, 5, CTR) == (both.answers, both.impressions, both.ctr.value)


def test_intervals_resample_users() -> None:
    """Ann clicked 1 of 3, bob 1 of 2: every resample lies in between."""
    made = answers()
    x = measure_groups(join_events(made, [observed(*line) for line in outcomes(made)], {"click"}), 10, 200)[0]
    assert (pytest.approx(1 / 3), pytest.approx(1 / 2)) == (x.ctr.low, x.ctr.high)


def test_clicks_beyond_k_do_not_count() -> None:
    """At k = 1, ann's click at position 2 counts 0, bob's at position 1 counts 1."""
    made = answers()
    x = measure_groups(join_events(made, [observed(*line) for line in outcomes(made)], {"click"}), 1, 200)[0]
    assert 0.5 == x.ndcg.value
