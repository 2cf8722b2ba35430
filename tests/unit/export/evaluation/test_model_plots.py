"""The heat map of shares."""

from typing import Any

import pytest

from export.evaluation.model_plots import plot_transfer


def figures(spread: list[list[float]] | None) -> dict[str, Any]:
    """Of a model with two sources, of which `tv` alone is a target."""
    transfer = {"sources": ["shelf", "tv"], "share": [[0.5, 0.5], [0.255, 0.745]], "share_over_seeds": spread}
    return {"scenarios": ["tv"], "models": {"neural": {"transfer": transfer}}}


@pytest.mark.parametrize(("spread", "shown"), [([[0.0, 0.0], [0.004, 0.012]], True), (None, False)])
def test_cells_are_shares_with_their_deviation_over_seeds(spread: list[list[float]] | None, shown: bool) -> None:
    """In percent and points, for the target's row alone; one seed has no deviation."""
    plot = plot_transfer(figures(spread), "neural")
    assert ["25.5%" in plot.svg, "74.5%" in plot.svg, "50.0%" in plot.svg] == [True, True, False]
    assert ["±0.4" in plot.svg, "±1.2" in plot.svg] == [shown, shown]
