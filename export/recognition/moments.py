"""Moments of behaviour: a user at a time, and in which target scenario they were engaged then.

A moment with events in several scenarios gets one of them at random, by events; what the other events say bounds
how well anybody could tell. Knows events as arrays; knows nothing of features.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from export.datasets.tables import SPLITS
from export.recognition.errors import RecognitionError
from export.replay.history import History
from export.rows.requests import LabelledRequests, Strings
from services.features.config import FeatureConfig
from services.features.events import engagement_weights
from services.features.rows import Floats, Ints

TRAIN_SHARE, VALIDATION_SHARE = 0.8, 0.1
"""Of the moments, in time order, where labelled rows give no bounds."""


@dataclass(frozen=True)
class Moments:
    """M moments in time order.

    Args:
        event: [M] index of the event that was drawn.
        user: [M].
        scenario: [M] the target: the drawn event's scenario.
        time_s: [M] seconds since 1970.
        share: [M] share of the moment's most frequent target scenario among its engaged events.
        entropy: [M] entropy of the scenarios of the moment's engaged events, nats.
    """

    event: Ints
    user: Strings
    scenario: Strings
    time_s: Floats
    share: Floats
    entropy: Floats

    def take(self, index: NDArray[np.generic]) -> "Moments":
        """The moments at `index` (integers or a mask)."""
        return Moments(*(getattr(self, name)[index] for name in self.__dataclass_fields__))


def targets_of(history: History, config: FeatureConfig) -> list[str]:
    """Scenarios that can be asked for: those of labelled rows; without any, those of engaged events."""
    events = history.behavior
    named = history.requests.scenario
    if not len(named):
        named = events.scenario[engagement_weights(config, events.type) > 0]
    return sorted(set(named.tolist()))


def moments_of(history: History, config: FeatureConfig, targets: list[str], limit: int, seed: int) -> Moments:
    """Every (user, time) with an engaged event in a target scenario, a random `limit` of them if there are more."""
    events, random = history.behavior, np.random.default_rng(seed)
    engaged = engagement_weights(config, events.type) > 0
    chosen = np.flatnonzero(engaged & np.isin(events.scenario.astype(str), targets))
    if not len(chosen):
        raise RecognitionError("no event is an engagement in a target scenario: there is nothing to recognise from")
    user = np.unique(events.user[chosen].astype(str), return_inverse=True)[1].astype(np.int64)
    place = np.stack([user, np.unique(events.time_s[chosen], return_inverse=True)[1]], axis=1)
    shuffled = random.permutation(len(chosen))
    _, first, moment = np.unique(place[shuffled], axis=0, return_index=True, return_inverse=True)
    drawn = chosen[shuffled[first]]
    counts = np.zeros((len(first), len(targets)))
    np.add.at(counts, (moment.reshape(-1), np.searchsorted(targets, events.scenario[chosen[shuffled]].astype(str))), 1)
    share = counts / counts.sum(axis=1, keepdims=True)
    entropy = -(share * np.log(np.where(share > 0, share, 1.0))).sum(axis=1)
    kept = random.permutation(len(drawn))[:limit]
    kept = kept[np.argsort(drawn[kept])]
    event = drawn[kept]
    return Moments(
        event, events.user[event], events.scenario[event], events.time_s[event], share.max(axis=1)[kept], entropy[kept]
    )


def split_starts(requests: LabelledRequests, moments: Moments) -> tuple[float, float]:
    """When validation and test begin, seconds since 1970.

    Where the labelled rows' splits follow one another in time, they say it; otherwise 80/10/10 of the moments.
    """
    times = [requests.time_s[requests.split == split] for split in SPLITS]
    if all(len(part) for part in times) and times[0].max() < times[1].min() and times[1].max() < times[2].min():
        return float(times[1].min()), float(times[2].min())
    bounds = np.quantile(moments.time_s, [TRAIN_SHARE, TRAIN_SHARE + VALIDATION_SHARE], method="higher")
    return float(bounds[0]), float(bounds[1])
