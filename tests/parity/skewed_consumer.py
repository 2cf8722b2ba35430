"""A behaviour consumer with a mistake: users' counts fade half as fast as they should.

Run as `python -m tests.parity.skewed_consumer`. What it folds into tables and deltas is right.
"""

from collections.abc import Sequence

import numpy as np

from services.consumers.main import run_consumer
from services.features import behavior
from services.features.decay import Floats, decay_factors
from services.settings.load import load_settings


def slow(elapsed_s: Floats, half_lives_s: Sequence[float]) -> Floats:
    """What remains after twice the half-lives."""
    return decay_factors(elapsed_s, 2 * np.asarray(half_lives_s))


if __name__ == "__main__":
    behavior.factors = slow
    run_consumer("behavior", load_settings())
