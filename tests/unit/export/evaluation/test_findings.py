"""What sentences say for which numbers."""

import pytest

from export.evaluation.findings import pooling, transfer_weights, verdict


@pytest.mark.parametrize(
    ("low", "high", "metric", "expected"),
    [
        (-0.1, 0.2, "auc", "the same"),
        (0.1, 0.2, "auc", "better"),
        (-0.2, -0.1, "auc", "worse"),
        (0.1, 0.2, "log_loss", "worse"),
    ],
)
def test_verdict_follows_the_interval(low: float, high: float, metric: str, expected: str) -> None:
    """An interval with 0 in it is no difference; less log loss is better."""
    difference = {"value": (low + high) / 2, "low": low, "high": high, "seeds": [(low + high) / 2]}
    assert expected == verdict(difference, metric)


def test_a_difference_that_seeds_do_not_agree_on_is_none() -> None:
    """Users agree, training runs do not: 0.03 and -0.01 are no improvement, 0.011 and 0.009 are."""
    surely = {"value": 0.01, "low": 0.008, "high": 0.012}
    assert "the same" == verdict({**surely, "seeds": [0.03, -0.01]})
    assert "better" == verdict({**surely, "seeds": [0.011, 0.009]})


def figures(low: float, high: float) -> dict:
    auc = {"value": 0.8}
    model = {"test": {"all": {"auc": auc}, "segments": {}}}
    value = (low + high) / 2
    difference = {"all": {"auc": {"value": value, "low": low, "high": high, "seeds": [value, value]}}}
    return {
        "models": {"pooled": {**model, "transfers": False}, "neural": {**model, "transfers": True}},
        "differences": {"pooled": {"neural": difference}},
    }


def test_pooling_is_said_to_do_as_well_where_it_does() -> None:
    """A difference that may be 0 is called nothing, with its interval."""
    (text,) = pooling(figures(-0.0002, 0.0004))
    assert text.startswith("Scenario-specific transfer weights bring nothing over pooling")
    assert "difference +0.0001 [-0.0002, +0.0004], deviation 0.0000 between training runs" in text
    assert pooling(figures(0.01, 0.02))[0].startswith("Summing preferences with transfer weights ranks better")


def test_equal_weights_are_not_called_different() -> None:
    """Targets that differ less than seeds do are said to."""
    transfer = {
        "sources": ["a", "b"],
        "mean": [[0.5, 0.6], [0.51, 0.6]],
        "over_seeds": [[0.02, 0.02], [0.02, 0.02]],
    }
    made = {"scenarios": ["a", "b"], "models": {"neural": {"transfer": transfer}}}
    assert "no more than between seeds" in transfer_weights(made, "neural")[0]
    assert "source b counts most" in transfer_weights(made, "neural")[0]
