"""The random forest that recognises scenarios, calibrated, and a small tree for people to read.

Knows scikit-learn and arrays; knows nothing of where samples come from or where models go.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier
from sklearn.tree import DecisionTreeClassifier, export_text

from export.recognition.calibration import Calibration, fit_calibration
from export.recognition.metrics import summary
from export.recognition.samples import Samples
from services.features.rows import Floats


@dataclass(frozen=True)
class ForestConfig:
    """Choices of training.

    Args:
        trees: number of trees.
        leaf_samples: smallest leaves that are tried; the validation split chooses.
        tree_depth: levels of the readable tree, at most 5 to stay readable.
        tree_leaf_samples: its smallest leaf.
        seed: of everything random.
    """

    trees: int = 100
    leaf_samples: tuple[int, ...] = (10, 50, 200)
    tree_depth: int = 4
    tree_leaf_samples: int = 100
    seed: int = 0


@dataclass(frozen=True)
class Recogniser:
    """A forest with its calibration."""

    forest: RandomForestClassifier
    calibration: Calibration

    def posterior(self, features: NDArray[np.float32]) -> Floats:
        """Calibrated probabilities [S, K] of features [S, F]."""
        return self.calibration.apply(self.forest.predict_proba(features))


def train_forest(samples: Samples, config: ForestConfig) -> Recogniser:
    """The forest whose calibrated log loss on the validation split is least; calibrated there."""
    train, validation = samples.of("train"), samples.of("validation")
    tried: list[tuple[float, Recogniser]] = []
    for leaf in config.leaf_samples:
        forest = RandomForestClassifier(config.trees, min_samples_leaf=leaf, random_state=config.seed)
        forest.fit(train.features, train.target)
        calibration = fit_calibration(forest.predict_proba(validation.features), validation.target)
        recogniser = Recogniser(forest, calibration)
        loss = summary(validation.target, recogniser.posterior(validation.features))["log_loss"]
        tried.append((loss, recogniser))
    return min(tried, key=lambda pair: pair[0])[1]


def train_tree(samples: Samples, config: ForestConfig) -> DecisionTreeClassifier:
    """One shallow tree on the same samples."""
    train = samples.of("train")
    tree = DecisionTreeClassifier(
        max_depth=config.tree_depth, min_samples_leaf=config.tree_leaf_samples, random_state=config.seed
    )
    return tree.fit(train.features, train.target)


def tree_text(tree: DecisionTreeClassifier, samples: Samples) -> str:
    """The tree as indented text; leaves name the most frequent scenario."""
    names = [samples.info["scenarios"][number] for number in tree.classes_]
    text: str = export_text(tree, feature_names=samples.info["inputs"], class_names=names, decimals=3)
    return text
