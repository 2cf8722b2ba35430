"""Calibration of a posterior: a slope and a bias per class on log-probabilities, fitted on held-out samples.

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
"""Lower bound of probabilities: a leaf without samples of a class does not rule the class out."""


@dataclass(frozen=True)
class PosteriorCalibration:
    """softmax(slope * log(max(p, FLOOR)) + bias [K])."""

    slope: float
    bias: Floats

    def apply(self, probability: NDArray[np.floating]) -> Floats:
        """Calibrated probabilities [S, K]."""
        result: Floats = softmax(self.slope * _log_probabilities(probability) + self.bias, axis=1)
        return result


def fit_calibration(probability: NDArray[np.floating], target: Ints, strength: float = 1.0) -> PosteriorCalibration:
    """The calibration with the least log loss on samples [S, K]; target [S] holds class indices.

    `strength`: weight of the prior, slope 1 and bias 0, in samples.
    """
    logs, count = _log_probabilities(probability), len(target)
    hit = np.eye(logs.shape[1])[target]
    start = np.concatenate([[1.0], np.zeros(logs.shape[1])])

    def loss(parameters: Floats) -> tuple[float, Floats]:
        log_fitted = log_softmax(parameters[0] * logs + parameters[1:], axis=1)
        error = (np.exp(log_fitted) - hit) / count
        offset = parameters - start
        gradient = np.concatenate([[(error * logs).sum()], error.sum(axis=0)]) + strength / count * offset
        return -float((hit * log_fitted).sum()) / count + strength / count * float(offset @ offset) / 2, gradient

    fitted = minimize(loss, start, jac=True, method="L-BFGS-B").x
    return PosteriorCalibration(float(fitted[0]), fitted[1:])


def _log_probabilities(probability: NDArray[np.floating]) -> Floats:
    result: Floats = np.log(np.maximum(probability.astype(np.float64), FLOOR))
    return result
