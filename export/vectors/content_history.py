"""The contents of items as they were before a time: vectors of their texts, and keys of their facets."""

from collections.abc import Sequence
from itertools import takewhile

import numpy as np

from export.vectors.content import Content
from services.features.catalogue import ItemState
from services.features.config import FeatureConfig
from services.features.hashing import facet_keys
from services.text.protocol import Encoder


class ContentHistory:
    """The contents of some items. Asked in order of time.

    Args:
        config: the feature settings.
        encoder: encodes texts.
        items: ids, in the order of the contents.
        states: ids and states of items in order of time; those of other items are left out.
    """

    def __init__(
        self, config: FeatureConfig, encoder: Encoder, items: Sequence[str], states: Sequence[tuple[str, ItemState]]
    ) -> None:
        self._config, self._encoder = config, encoder
        self._number = {item: number for number, item in enumerate(items)}
        self._states, self._done = states, 0
        self._text = np.zeros((len(items), config.text_dims))
        self._facet_key = np.zeros((len(items), len(config.facets)), np.int64)

    def before(self, time_s: float) -> Content:
        """The contents that items had before a time; the arrays change with the next call."""
        rest = (self._states[place] for place in range(self._done, len(self._states)))
        new = list(takewhile(lambda each: each[1].time_s < time_s, rest))
        self._done += len(new)
        latest = {self._number[item]: state for item, state in new if item in self._number}
        if latest:
            numbers = np.array(list(latest))
            self._text[numbers] = self._encoder.encode([state.text for state in latest.values()])
            levels = self._config.category_levels
            self._facet_key[numbers] = [facet_keys(state.categories, state.brand, levels) for state in latest.values()]
        return Content(self._text, self._facet_key)
