"""Contexts to recognise a scenario in: a user at a time of engagement, and the target scenario of that engagement.

In a context with events in several scenarios one event is drawn at random, and its scenario is the target; the other
events bound the accuracy that is possible. Knows events as arrays; knows nothing of features.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from export.datasets.tables import SPLITS
from export.replay.history import DatasetHistory
from export.rows.requests import LabelledRequests, Strings
from services.errors import CrossRecError
from services.features.config import FeatureConfig
from services.features.events import type_weights
from services.features.rows import Floats, Ints

TRAIN_SHARE, VALIDATION_SHARE = 0.8, 0.1
"""Shares of the contexts, in time order, where labelled rows give no bounds."""


class RecognitionError(CrossRecError):
    """The data set has nothing that a recogniser could be trained or tested on."""


@dataclass(frozen=True)
class Contexts:
    """M contexts in time order.

    Args:
        event: [M] index of the event that was drawn.
        user: [M].
        scenario: [M] the target: the drawn event's scenario.
        time_s: [M] seconds since 1970.
        share: [M] share of the context's most frequent target scenario among its engaged events.
        entropy: [M] entropy of the scenarios of the context's engaged events, nats.
    """

    event: Ints
    user: Strings
    scenario: Strings
    time_s: Floats
    share: Floats
    entropy: Floats

    def take(self, index: NDArray[np.generic]) -> "Contexts":
        """The contexts at `index` (integers or a mask)."""
        return Contexts(*(getattr(self, name)[index] for name in self.__dataclass_fields__))


def target_scenarios(history: DatasetHistory, config: FeatureConfig) -> list[str]:
    """Scenarios that requests may have: those of labelled rows; without labelled rows, those of engaged events."""
    events = history.behavior
    named = history.requests.scenario
    if not len(named):
        named = events.scenario[type_weights(config, events.type) > 0]
    return sorted(set(named.tolist()))


def sample_contexts(
    history: DatasetHistory, config: FeatureConfig, targets: list[str], limit: int, seed: int
) -> Contexts:
    """Every (user, time) with an engaged event in a target scenario, a random `limit` of them if there are more."""
    events, random = history.behavior, np.random.default_rng(seed)
    engaged = type_weights(config, events.type) > 0
    chosen = np.flatnonzero(engaged & np.isin(events.scenario.astype(str), targets))
    if not len(chosen):
        raise RecognitionError("no event is an engagement in a target scenario: there is nothing to learn from")
    user = np.unique(events.user[chosen].astype(str), return_inverse=True)[1].astype(np.int64)
    place = np.stack([user, np.unique(events.time_s[chosen], return_inverse=True)[1]], axis=1)
    shuffled = random.permutation(len(chosen))
    _, first, context = np.unique(place[shuffled], axis=0, return_index=True, return_inverse=True)
    drawn = chosen[shuffled[first]]
    counts = np.zeros((len(first), len(targets)))
    np.add.at(counts, (context.reshape(-1), np.searchsorted(targets, events.scenario[chosen[shuffled]].astype(str))), 1)
    share = counts / counts.sum(axis=1, keepdims=True)
    entropy = -(share * np.log(np.where(share > 0, share, 1.0))).sum(axis=1)
    kept = random.permutation(len(drawn))[:limit]
    kept = kept[np.argsort(drawn[kept])]
    event = drawn[kept]
    return Contexts(
        event, events.user[event], events.scenario[event], events.time_s[event], share.max(axis=1)[kept], entropy[kept]
    )


def split_starts(requests: LabelledRequests, contexts: Contexts) -> tuple[float, float]:
    """Start of validation and of test, seconds since 1970.

    Those of the labelled rows where their splits follow one another in time; otherwise 80/10/10 of the contexts.
    """
    times = [requests.time_s[requests.split == split] for split in SPLITS]
    if all(len(part) for part in times) and times[0].max() < times[1].min() and times[1].max() < times[2].min():
        return float(times[1].min()), float(times[2].min())
    bounds = np.quantile(contexts.time_s, [TRAIN_SHARE, TRAIN_SHARE + VALIDATION_SHARE], method="higher")
    return float(bounds[0]), float(bounds[1])
