"""Boosted trees on the target scenario's features."""

import sys
from pathlib import Path

import numpy as np
import pytest

from export.models.base import TENSORS, ModelError
from export.models.boosted_trees import BoostedTrees, feature_matrix, flatten_features, import_lightgbm
from export.rows.reader import RowSource
from tests.unit.export.rows.synthetic_rows import write_rows


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> RowSource:
    return RowSource(write_rows(tmp_path_factory.mktemp("rows"), contexts=40), "train", batch_rows=50)


def test_the_matrix_holds_the_target_scenarios_features(source: RowSource) -> None:
    """One row each, in order of the tensors; labels beside."""
    features, label = feature_matrix(source)
    batch = next(source.batches())
    assert (len(source), sum(source.widths[name] for name in TENSORS)) == features.shape
    np.testing.assert_array_equal(flatten_features(batch), features[: len(batch)])
    np.testing.assert_array_equal(batch.label, label[: len(batch)])
    np.testing.assert_array_equal(batch.cross[0, batch.target[0]], features[0, -2:])
    np.testing.assert_array_equal(batch.scenario[0, batch.target[0]], features[0, :3])


def test_thresholds_in_single_precision_change_no_prediction(source: RowSource) -> None:
    """Trees with rounded thresholds predict, on single-precision features, to the bit what LightGBM's own do."""
    lightgbm = import_lightgbm()
    features, label = feature_matrix(source)
    parameters = {"objective": "binary", "verbose": -1, "num_threads": 1, "min_data_in_leaf": 5}
    booster = lightgbm.train(parameters, lightgbm.Dataset(features, label), 20)
    batch = next(source.batches())
    trees = BoostedTrees(booster.model_to_string())
    np.testing.assert_array_equal(booster.predict(flatten_features(batch)), trees.probability(batch))


def test_a_missing_openmp_library_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without libgomp the error names the package to install."""
    message = "libgomp.so.1: cannot open shared object file: No such file or directory"
    (tmp_path / "lightgbm.py").write_text(f"raise OSError({message!r})\n")
    monkeypatch.delitem(sys.modules, "lightgbm", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModelError, match=r"libgomp.so.1.*install.*libgomp1|libgomp1 .*install it"):
        import_lightgbm()
    monkeypatch.delitem(sys.modules, "lightgbm", raising=False)
