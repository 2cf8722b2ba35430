"""The rows that requests rest on, as features are made from them.

Knows which rows belong together; knows nothing of where they come from or of what becomes of them.
"""

from dataclasses import dataclass

import numpy as np

from services.features.config import DAY_S
from services.features.rows import Block, Floats, Ints


@dataclass(frozen=True)
class Hydrated:
    """Everything that R requests over J scenarios, with N candidates among I items, rest on.

    Args:
        time_s: the requests' time, seconds since 1970.
        encoder: fingerprint of the encoder; vectors of another count as missing.
        scenario: [J] rows of `scenario`.
        scenario_activity: [J] rows.
        user: [R] rows of `user`.
        user_scenario: [R * J] rows, scenario fastest.
        item: [I] rows of `item`.
        item_activity: [I] rows.
        item_scenario: [I * J] rows, scenario fastest.
        item_scenario_activity: [I * J] rows.
        facet_activity: [G] rows of the items' facets; 'no facet' has a row of defaults.
        item_facet: [I, F] row of each facet of an item in facet_activity.
        item_key: [I] keys of the item ids.
        pair_request: [N] request of each candidate.
        pair_item: [N] item of each candidate.
        context: [R, A] declared context attributes.
    """

    time_s: float
    encoder: int
    scenario: Block
    scenario_activity: Block
    user: Block
    user_scenario: Block
    item: Block
    item_activity: Block
    item_scenario: Block
    item_scenario_activity: Block
    facet_activity: Block
    item_facet: Ints
    item_key: Ints
    pair_request: Ints
    pair_item: Ints
    context: Floats

    def age_days(self, time_s: Floats) -> Floats:
        """log(1 + days since), 0 where it never happened, [...] as time_s."""
        days = np.maximum(self.time_s - time_s, 0.0) / DAY_S
        result: Floats = np.where(time_s > 0, np.log1p(days), 0.0)
        return result
