"""Fits boosted trees on a matrix streamed from training rows, stopped early on the validation rows.

Knows LightGBM and streamed rows.
"""

from collections.abc import Callable

from export.models.boosted_trees import BoostedTrees, import_lightgbm, matrix
from export.rows.reader import RowSource
from export.training.config import TrainingConfig

STOP_AFTER = 30
"""Trees without a better validation AUC until training stops."""


def fit_trees(
    source: RowSource, validation: RowSource, config: TrainingConfig, log: Callable[[str], None]
) -> BoostedTrees:
    """Trees up to the number that ranks the validation rows best."""
    lightgbm = import_lightgbm()
    data = lightgbm.Dataset(*matrix(source), params={"verbose": -1})
    parameters = {
        "objective": "binary",
        "metric": "auc",
        "learning_rate": config.learning_rate,
        "num_leaves": config.leaves,
        "min_data_in_leaf": 50,
        "feature_fraction": 0.5,
        "seed": config.seed,
        "deterministic": True,
        "force_row_wise": True,
        "num_threads": config.threads,
        "verbose": -1,
    }
    watched = [data.create_valid(*matrix(validation))] if len(validation) else []
    calls = [lightgbm.early_stopping(STOP_AFTER, verbose=False)] if watched else []
    booster = lightgbm.train(parameters, data, config.trees, valid_sets=watched, callbacks=calls)
    best = booster.best_iteration if watched else config.trees
    found = booster.best_score.get("valid_0", {}).get("auc", float("nan"))
    log(f"lightgbm: {best} trees, validation AUC {found:.4f}")
    return BoostedTrees(booster.model_to_string(num_iteration=best))
