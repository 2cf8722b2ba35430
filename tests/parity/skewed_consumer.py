"""A behaviour consumer with a bug: users' counts decay with twice the configured half-lives.

Run as `python -m tests.parity.skewed_consumer`. Tables and activity deltas are folded correctly.
"""

from collections.abc import Sequence

import numpy as np

from services.consumers.main import run_consumer
from services.features import behavior
from services.features.decay import Floats, decay_factors
from services.settings.load import load_settings


def slow_decay_factors(elapsed_s: Floats, half_lives_s: Sequence[float]) -> Floats:
    """Decay factors with doubled half-lives."""
    return decay_factors(elapsed_s, 2 * np.asarray(half_lives_s))


if __name__ == "__main__":
    behavior.decay_factors = slow_decay_factors
    run_consumer("behavior", load_settings())
