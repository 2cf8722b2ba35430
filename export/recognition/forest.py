"""The random forest that recognises scenarios, calibrated, and a shallow decision tree that people can read.

Knows scikit-learn and arrays; knows nothing of data sets or registries.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier
from sklearn.tree import DecisionTreeClassifier, export_text

from export.recognition.calibration import PosteriorCalibration, fit_calibration
from export.recognition.metrics import posterior_metrics
from export.recognition.samples import Samples
from services.features.rows import Floats


@dataclass(frozen=True)
class ForestConfig:
    """Training choices.

    Args:
        trees: number of trees.
        leaf_samples: candidates for the minimum samples per leaf; the validation split chooses.
        tree_depth: levels of the readable tree.
        tree_leaf_samples: minimum samples per leaf of the readable tree.
        seed: of everything random.
    """

    trees: int = 100
    leaf_samples: tuple[int, ...] = (10, 50, 200)
    tree_depth: int = 4
    tree_leaf_samples: int = 100
    seed: int = 0


@dataclass(frozen=True)
class ForestRecogniser:
    """A forest with its calibration."""

    forest: RandomForestClassifier
    calibration: PosteriorCalibration

    def posterior(self, features: NDArray[np.float32]) -> Floats:
        """Calibrated probabilities [S, K] of features [S, F]."""
        return self.calibration.apply(self.forest.predict_proba(features))


def train_forest(samples: Samples, config: ForestConfig) -> ForestRecogniser:
    """The forest with the least calibrated log loss on the validation split, where it is calibrated."""
    train, validation = samples.in_split("train"), samples.in_split("validation")
    candidates: list[tuple[float, ForestRecogniser]] = []
    for leaf in config.leaf_samples:
        forest = RandomForestClassifier(config.trees, min_samples_leaf=leaf, random_state=config.seed)
        forest.fit(train.features, train.target)
        calibration = fit_calibration(forest.predict_proba(validation.features), validation.target)
        recogniser = ForestRecogniser(forest, calibration)
        loss = posterior_metrics(validation.target, recogniser.posterior(validation.features))["log_loss"]
        candidates.append((loss, recogniser))
    return min(candidates, key=lambda pair: pair[0])[1]


def train_tree(samples: Samples, config: ForestConfig) -> DecisionTreeClassifier:
    """A shallow tree on the same samples."""
    train = samples.in_split("train")
    tree = DecisionTreeClassifier(
        max_depth=config.tree_depth, min_samples_leaf=config.tree_leaf_samples, random_state=config.seed
    )
    return tree.fit(train.features, train.target)


def format_tree(tree: DecisionTreeClassifier, samples: Samples) -> str:
    """The tree as indented text; leaves name their most frequent scenario."""
    names = [samples.info["scenarios"][number] for number in tree.classes_]
    text: str = export_text(tree, feature_names=samples.info["inputs"], class_names=names, decimals=3)
    return text
