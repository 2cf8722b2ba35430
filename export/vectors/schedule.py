"""Which vectors a request may see: those learned from what happened before the period of its time.

Periods have equal numbers of rows to train on. The last period's vectors stay from there on, for validation and test
rows too, as those of a model do that is served; they are registered with it.
"""

import numpy as np

from export.vectors.content_history import ContentHistory
from export.vectors.factorise import Factors
from export.vectors.interactions import Interactions
from export.vectors.learn import learn_vectors
from services.features.config import FeatureConfig
from services.features.item_vectors import ItemVectors, no_vectors
from services.features.rows import Floats

PERIODS = 16
"""Vectors of more periods are fresher in training, and take longer to learn; three times as many change no metric."""

MIN_INTERACTIONS = 100
"""Nothing is learned from fewer."""


def period_starts(train_times_s: Floats, periods: int = PERIODS) -> Floats:
    """First times of the periods after the first one, in which nothing is known yet: rising, seconds since 1970."""
    if not len(train_times_s):
        return np.zeros(0)
    ranks = np.arange(1, periods) * len(train_times_s) // periods
    return np.unique(np.sort(train_times_s)[ranks])


class VectorSchedule:
    """Learns the vectors of each period when it is reached. Asked in order of time.

    Args:
        config: the feature settings.
        interactions: all of the data set.
        contents: of the items of the interactions.
        starts_s: first times of the periods, rising.
    """

    def __init__(
        self, config: FeatureConfig, interactions: Interactions, contents: ContentHistory, starts_s: Floats
    ) -> None:
        self._config, self._interactions, self._contents, self._starts_s = config, interactions, contents, starts_s
        self._period = 0
        self._factors: Factors | None = None
        self.current = no_vectors(config)
        """The vectors of the newest period that was asked for."""

    def at(self, time_s: float) -> ItemVectors:
        """The vectors of requests at a time."""
        period = int(np.searchsorted(self._starts_s, time_s, "right"))
        if period > self._period:
            self._period = period
            self._learn(float(self._starts_s[period - 1]))
        return self.current

    def _learn(self, before_s: float) -> None:
        count = int(np.searchsorted(self._interactions.time_s, before_s))
        if count < MIN_INTERACTIONS:
            return
        past, contents = self._interactions.first(count), self._contents.before(before_s)
        learned = learn_vectors(self._config, past, contents, self._factors)
        self.current, self._factors = learned.vectors, learned.factors
