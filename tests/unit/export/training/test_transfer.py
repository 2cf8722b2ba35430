"""What a trained model says of its sources, against the model scored without them."""

from pathlib import Path

import numpy as np
import pytest

from export.models.kinds import config_of
from export.models.preference_transfer import PreferenceTransfer
from export.rows.reader import RowSource
from export.rows.selection import Selection
from export.training.train import fit, score_rows
from export.training.transfer import score_sources, transfer_summary
from tests.unit.export.rows.synthetic_rows import SOURCES, write_rows

QUICK = {"epochs": 1, "hidden": (8, 4), "hidden_g": (4,), "batch_rows": 60}


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_rows(tmp_path_factory.mktemp("rows"), contexts=40)


@pytest.fixture(scope="module")
def model(directory: Path) -> PreferenceTransfer:
    trained, _ = fit(directory, "neural", config_of("neural", QUICK))
    assert isinstance(trained, PreferenceTransfer)
    return trained


def without(*dropped: str) -> Selection:
    return Selection(dropped_sources=frozenset(dropped))


def test_the_probability_without_a_source_is_that_of_a_model_that_drops_it(
    directory: Path, model: PreferenceTransfer
) -> None:
    """For every source, by row number."""
    found = score_sources(model, RowSource(directory, "validation"))
    for place, name in enumerate(SOURCES):
        expected = score_rows(model, RowSource(directory, "validation", without(name)))
        np.testing.assert_array_equal(expected.row, found.row)
        np.testing.assert_allclose(expected.probability, found.without[:, place], rtol=1e-5)


def test_the_preference_of_the_target_is_the_probability_where_nothing_else_counts(
    directory: Path, model: PreferenceTransfer
) -> None:
    """Of rows of `mail`, with `mail` as the only source; and without it nothing is left."""
    source = RowSource(directory, "validation", without("home", "shelf"))
    found, expected = score_sources(model, source), score_rows(model, source)
    own = source.columns("target")["target"] == SOURCES.index("mail")
    np.testing.assert_allclose(expected.probability[own], found.own[own], rtol=1e-5)
    assert np.isnan(found.without[:, SOURCES.index("mail")]).all()


def test_a_split_without_rows_has_no_scores(directory: Path, model: PreferenceTransfer) -> None:
    """Arrays of the right shapes, and weights of 0."""
    found = score_sources(model, RowSource(directory, "test"))
    assert ((0,), (0, 3)) == (found.own.shape, found.without.shape)
    assert 0 == transfer_summary(model, RowSource(directory, "test"))["contexts"]
