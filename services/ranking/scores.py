"""What a model says of the candidates of a request."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Scores:
    """What the model says: P [N, J], M [J], R [N] and R / sum M [N]."""

    preference: np.ndarray
    transfer: np.ndarray
    score: np.ndarray
    probability: np.ndarray
