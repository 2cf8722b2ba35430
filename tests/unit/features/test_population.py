"""Decayed sums of activity, against double precision."""

import numpy as np
import pytest

from services.features.config import DAY_S, FeatureConfig
from services.features.population import decay_sums

CONFIG = FeatureConfig()


@pytest.mark.parametrize("seed", range(5))
def test_sums_are_decayed_as_in_double_precision(seed: int) -> None:
    """To 1e-6 of the sum before, for any time: just now, in the future, years ago."""
    random = np.random.default_rng(seed)
    count, rows = len(CONFIG.half_lives_s), 50
    elapsed_s = np.concatenate([random.exponential(10.0 ** random.integers(0, 9), rows - 4), [0, -DAY_S, 1e12, 1e-3]])
    sums = (random.random((rows, 2 * count)) * 10.0 ** random.integers(0, 6, (rows, 1))).astype(np.float32)
    found = np.empty((2 * count, rows), np.float32)
    decay_sums(CONFIG, elapsed_s, sums, found)
    for number in range(2 * count):
        remaining = 2.0 ** (-np.maximum(elapsed_s, 0.0) / CONFIG.half_lives_s[number % count])
        np.testing.assert_allclose(found[number], sums[:, number] * remaining, rtol=0, atol=1e-6 * sums.max())
        assert (np.abs(found[number] - sums[:, number] * remaining) <= 1e-6 * sums[:, number]).all()
