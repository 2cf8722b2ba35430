"""Calibration of a posterior: a temperature and a bias per class on log-probabilities, fitted on held-out samples.

Bias-corrected temperature scaling (Alexandari, Kundaje and Shrikumar, 2020): softmax(a log p + b). K + 1 numbers,
so a few hundred samples fit them, and three ONNX operators compute it.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax

from services.features.rows import Floats, Ints

FLOOR = 1e-4
"""Smallest probability that is told apart from zero: a leaf without a class does not rule it out."""


@dataclass(frozen=True)
class Calibration:
    """softmax(slope * log(max(p, FLOOR)) + bias [K])."""

    slope: float
    bias: Floats

    def apply(self, probability: NDArray[np.floating]) -> Floats:
        """Calibrated probabilities [S, K]."""
        result: Floats = softmax(self.slope * _logs(probability) + self.bias, axis=1)
        return result


def fit_calibration(probability: NDArray[np.floating], target: Ints, strength: float = 1.0) -> Calibration:
    """The calibration with the least log loss on samples [S, K]; target [S] holds class indices.

    `strength` pulls towards no change (slope 1, bias 0) with the weight of so many samples.
    """
    logs, count = _logs(probability), len(target)
    hit = np.eye(logs.shape[1])[target]
    start = np.concatenate([[1.0], np.zeros(logs.shape[1])])

    def loss(parameters: Floats) -> tuple[float, Floats]:
        logged = log_softmax(parameters[0] * logs + parameters[1:], axis=1)
        error = (np.exp(logged) - hit) / count
        away = parameters - start
        gradient = np.concatenate([[(error * logs).sum()], error.sum(axis=0)]) + strength / count * away
        return -float((hit * logged).sum()) / count + strength / count * float(away @ away) / 2, gradient

    found = minimize(loss, start, jac=True, method="L-BFGS-B").x
    return Calibration(float(found[0]), found[1:])


def _logs(probability: NDArray[np.floating]) -> Floats:
    result: Floats = np.log(np.maximum(probability.astype(np.float64), FLOOR))
    return result
