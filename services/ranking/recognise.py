"""The stage that determines the target scenario: the one that the request names, or a posterior over all scenarios.

The posterior comes from the registered recogniser, or from the user's habits alone if no recogniser is registered. How
a recogniser is opened and run is in `model/onnx_recogniser.py`.
"""

from typing import Protocol

import numpy as np

from crossrec.ranking.v1 import ranking_pb2 as pb
from services.features.feature_rows import encode_context
from services.features.recognition import mix_posterior, recognition_features, user_prior
from services.features.rows import Block
from services.features.schema import Schema
from services.ranking.cache.scenario_cache import Scenarios
from services.ranking.request_state import Degradations
from services.ranking.validate import RankQuery


class Recogniser(Protocol):
    """Recognises the scenario of a request.

    Args:
        version: name and version.
        scenarios: the K scenarios that it distinguishes.
        sources: the scenarios whose rows its features are computed from, in order.
        source_only: those of the sources that are never a target.
    """

    version: str
    scenarios: tuple[str, ...]
    sources: tuple[str, ...]
    source_only: frozenset[str]

    def posterior(self, features: np.ndarray) -> np.ndarray:
        """Probabilities [R, K] from recognition features [R, F]."""
        ...


def recognise(
    recogniser: Recogniser | None,
    schema: Schema,
    query: RankQuery,
    scenarios: Scenarios,
    user_scenario: Block,
    degradations: Degradations,
) -> np.ndarray:
    """Posterior over target scenarios, [J]; user_scenario holds the user's rows [J].

    The given scenario, if there is one. Else the recogniser's posterior, where scenarios that it was not trained
    on keep the probability from the user's habits; without a recogniser the habits alone.
    """
    count = len(scenarios.ids)
    if query.scenario_id:
        place = scenarios.index(query.scenario_id)
        if place is None:
            detail = "the target scenario is unknown: all scenarios count alike"
            degradations.add(pb.DEGRADATION_REASON_UNKNOWN_SCENARIO, detail)
            return np.full(count, 1 / count)
        given: np.ndarray = np.eye(count)[place]
        return given
    time_s = np.array([query.time_s])
    prior: np.ndarray = user_prior(schema.config, time_s, user_scenario, scenarios.activity)[0]
    if recogniser is None:
        return prior
    context = encode_context(schema.config, query.context, query.context_categories)[None]
    rows = [_take_sources(block, scenarios, recogniser.sources) for block in (user_scenario, scenarios.activity)]
    recognised = recogniser.posterior(recognition_features(schema.config, time_s, rows[0], rows[1], context))[0]
    known = {scenario: number for number, scenario in enumerate(recogniser.scenarios)}
    places = np.array([known.get(scenario, -1) for scenario in scenarios.ids])
    source_only = np.array([scenario in recogniser.source_only for scenario in scenarios.ids])
    return mix_posterior(prior, recognised.astype(np.float64), places, source_only)


def target_scenario(query: RankQuery, scenarios: Scenarios, posterior: np.ndarray) -> str:
    """The target scenario of an answer: that of the request, or else the most probable one."""
    return query.scenario_id or scenarios.ids[int(np.argmax(posterior))]


def _take_sources(block: Block, scenarios: Scenarios, sources: tuple[str, ...]) -> Block:
    """The columns that recognition reads, for `sources`; scenarios that no longer exist get rows without events."""
    places = np.array([-1 if (place := scenarios.index(source)) is None else place for source in sources])
    counts = np.where(places[:, None] >= 0, block.floats("counts")[places], 0.0)
    time_s = np.where(places >= 0, block.floats("time_s")[places], 0.0)
    return Block(block.view, len(sources), {"counts": counts, "time_s": time_s}, {})
