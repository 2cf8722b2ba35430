"""What is known of a request when its answer is ready, for observers: metrics, traces, logs."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from services.features.encode import Tensors
from services.ranking.cache.scenario_cache import Scenarios
from services.ranking.hydrate import RequestRows
from services.ranking.model.ab_split import Assignment
from services.ranking.request_state import Degradations, StageTimings
from services.ranking.validate import RankQuery
from services.registry.model import Scores


@dataclass(frozen=True)
class RankTrace:
    """How the candidates were ranked.

    Args:
        target: the target scenario in the answer.
        scenarios: the J scenarios.
        posterior: [J] of the target scenario.
        rows: the rows that the features were computed from.
        tensors: the features of all candidates.
        scores: of all candidates.
        chosen: [K] positions of the returned candidates, best first.
        reply: the answer, a serialised RankResponse.
    """

    target: str
    scenarios: Scenarios
    posterior: np.ndarray
    rows: RequestRows
    tensors: Tensors
    scores: Scores
    chosen: np.ndarray
    reply: bytes


@dataclass(frozen=True)
class RankOutcome:
    """A request and its result. Observers must not modify it.

    Args:
        query: the validated request.
        assignment: the model that ranked, and its arm.
        degradations: why the answer is degraded.
        timings: when its stages ended, the wait for a slot included.
        trace: how it was ranked; None if no scenario is known.
    """

    query: RankQuery
    assignment: Assignment
    degradations: Degradations
    timings: StageTimings
    trace: RankTrace | None = None


class Observer(Protocol):
    """Is notified of ranked requests, on the request's thread: must return quickly and must not raise."""

    def on_ranked(self, outcome: RankOutcome) -> None:
        """An answer is ready, and about to be sent."""
        ...
