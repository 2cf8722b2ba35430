"""What is known of a request when its answer is made, for those who watch: metrics, traces, logs."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from services.features.encode import Tensors
from services.ranking.cache.scenario_cache import Scenarios
from services.ranking.degraded import Degraded
from services.ranking.hydrate import Hydration
from services.ranking.model.ab_split import Served
from services.ranking.stage_timings import Stages
from services.ranking.validate import Request
from services.registry.model import Scores


@dataclass(frozen=True)
class Ranking:
    """How the candidates were ranked.

    Args:
        target: the scenario that the answer names.
        scenarios: the J.
        posterior: [J] of the target scenario.
        rows: what the features were made of.
        tensors: the features, of all candidates.
        scores: of all candidates.
        chosen: [K] places of the candidates in the answer, best first.
        reply: the answer, a serialised RankResponse.
    """

    target: str
    scenarios: Scenarios
    posterior: np.ndarray
    rows: Hydration
    tensors: Tensors
    scores: Scores
    chosen: np.ndarray
    reply: bytes


@dataclass(frozen=True)
class Answered:
    """A request and what became of it. Nothing of it may be changed.

    Args:
        request: as validated.
        served: what ranked.
        degraded: what was done without.
        stages: when its stages ended, waiting for its turn among them where it had to.
        ranking: how it was ranked; None where no scenario is known.
    """

    request: Request
    served: Served
    degraded: Degraded
    stages: Stages
    ranking: Ranking | None = None


class Observer(Protocol):
    """Hears of answered requests, on their threads: has to be quick, and must not raise."""

    def answered(self, answered: Answered) -> None:
        """An answer is made, and about to be sent."""
        ...


def target_of(request: Request, scenarios: Scenarios, posterior: np.ndarray) -> str:
    """The scenario that an answer names: that of the request, or else the likeliest."""
    return request.scenario_id or scenarios.ids[int(np.argmax(posterior))]
