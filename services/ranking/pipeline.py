"""How a request is ranked, as a list of stages: validate, recognise, hydrate, score, diversify, select, respond.

`rank` is the whole path; each stage is a function of what the ones before found. Nothing here knows gRPC, Kafka
or Feast.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from crossrec.ranking.v1 import ranking_pb2 as pb
from services.errors import DeadlinePassed
from services.features.encode import Tensors, encode
from services.features.feature_rows import assemble_rows
from services.features.recognition import recognition_names
from services.features.rows import default_block
from services.features.schema import Schema
from services.ranking.attribution import attribution_token
from services.ranking.cache.last_known import LastKnown
from services.ranking.cache.ranking_rows import RankingRows
from services.ranking.cache.scenario_cache import Scenarios
from services.ranking.degraded import Degraded
from services.ranking.hydrate import Hydration, UserRows, hydrate, read_user
from services.ranking.model.ab_split import Models, Served
from services.ranking.outcome import Answered, Observer, Ranking, target_of
from services.ranking.recognise import Recogniser, recognise
from services.ranking.reply import serialised
from services.ranking.stage_timings import Stages
from services.ranking.validate import Request, validate
from services.registry.model import Scores

MAX_UINT32 = 2**32 - 1


@dataclass(frozen=True)
class Ranker:
    """What ranking a request needs.

    Args:
        schema: the feature schema.
        rows: where features come from.
        models: decide what scores candidates.
        clock: seconds since 1970.
        recogniser: tells the scenario of requests that name none; without it users' habits do.
        last_known: users' rows for when the store is away; by default none.
        observers: hear of every answer.
        name_of: what a user is called in the store; by default as in the request.
    """

    schema: Schema
    rows: RankingRows
    models: Models
    clock: Callable[[], float] = time.time
    recogniser: Recogniser | None = None
    last_known: LastKnown[UserRows] = field(default_factory=lambda: LastKnown(0, 0))
    observers: tuple[Observer, ...] = ()
    name_of: Callable[[str], str] = str


def rank(
    ranker: Ranker, message: pb.RankRequest, time_left_s: Callable[[], float], stages: Stages | None = None
) -> bytes:
    """Rank the candidates of a request; the answer is a serialised RankResponse.

    `stages` is told when each of them ends. Raises InvalidRequest naming the field, DeadlinePassed when `time_left_s`
    runs out between stages.
    """
    degraded, stages = Degraded(), stages or Stages()
    request = validate(message, ranker.schema.config, ranker.clock(), ranker.name_of)
    served = ranker.models.choose(request.user_id)
    stages.end("validate")
    scenarios = ranker.rows.scenarios.current()
    if not scenarios.ids:
        reply = respond_without_scenarios(served, request, scenarios, degraded)
        stages.end("respond")
        tell(ranker, Answered(request, served, degraded, stages))
        return reply
    stages.note(served.model.version, len(request.item_ids), len(scenarios.ids))
    left_s = check(time_left_s)
    user = read_user(ranker.schema, ranker.rows, ranker.last_known, request.user_id, scenarios, left_s)
    stages.end("read_user")
    posterior = recognise(ranker.recogniser, ranker.schema, request, scenarios, user.user_scenario, degraded)
    stages.end("recognise")
    check(time_left_s)
    rows = hydrate(ranker.schema, ranker.rows, request, scenarios, user, degraded)
    stages.end("hydrate")
    left_s = check(time_left_s)
    tensors = encode(ranker.schema, rows.hydrated)
    stages.end("encode")
    scores = served.model.score(tensors, posterior, left_s)
    stages.end("score")
    check(time_left_s)
    order = diversify(scores, tensors, request.diversity, request.top_k)
    chosen = select(order, request.top_k)
    stages.end("select")
    check(time_left_s)
    reply = respond(served, request, scenarios, posterior, rows, scores, chosen, degraded)
    stages.end("respond")
    ranker.models.observe(served, tensors, posterior, scores)
    target = target_of(request, scenarios, posterior)
    ranking = Ranking(target, scenarios, posterior, rows, tensors, scores, chosen, reply)
    tell(ranker, Answered(request, served, degraded, stages, ranking))
    return reply


def tell(ranker: Ranker, answered: Answered) -> None:
    """Have the observers hear of an answer."""
    for observer in ranker.observers:
        observer.answered(answered)


def check(time_left_s: Callable[[], float]) -> float:
    """Stop working on what nobody waits for any more; otherwise the seconds left."""
    left_s = time_left_s()
    if left_s <= 0:
        raise DeadlinePassed("the deadline passed while ranking")
    return left_s


def diversify(scores: Scores, tensors: Tensors, diversity: float, places: int = 0) -> np.ndarray:
    """Order of the candidates, best first, at least `places` of them (0: all); ties keep the order of the request.

    Maximal marginal relevance (Carbonell and Goldstein, 1998): each place goes to the candidate with the best
    (1 - diversity) * probability - diversity * similarity to the most similar one that is placed already.
    """
    if diversity == 0:
        return np.argsort(-scores.score, kind="stable")
    text, count = tensors.item_text, len(scores.score)
    closest, left, order = np.full(count, -1.0), np.ones(count, bool), list[int]()
    for _ in range(min(places or count, count)):
        value = np.where(left, (1 - diversity) * scores.probability - diversity * closest, -np.inf)
        best = int(np.argmax(value))
        order.append(best)
        left[best] = False
        closest = np.maximum(closest, text @ text[best])
    return np.array(order)


def select(order: np.ndarray, top_k: int) -> np.ndarray:
    """The first top_k of the order; all of it for 0."""
    return order[:top_k] if top_k else order


def respond(
    served: Served,
    request: Request,
    scenarios: Scenarios,
    posterior: np.ndarray,
    rows: Hydration,
    scores: Scores,
    chosen: np.ndarray,
    degraded: Degraded,
) -> bytes:
    """The answer, serialised."""
    target = target_of(request, scenarios, posterior)
    head = pb.RankResponse(
        scenario_id=target,
        transfer_weights=[
            pb.TransferWeight(scenario_id=name, weight=weight)
            for name, weight in zip(scenarios.ids, scores.transfer.tolist(), strict=True)
        ],
        model_version=served.model.version,
        experiment_arm=served.arm,
        degraded=degraded.reasons,
        attribution_token=attribution_token(served.model.version, served.arm, target, request.time_s),
    )
    if not request.scenario_id:
        named = zip(scenarios.ids, posterior.tolist(), strict=True)
        head.scenario_posterior.extend(pb.ScenarioProbability(scenario_id=s, probability=p) for s, p in named)
    head.freshness.oldest_item_read_ms = min(round(rows.oldest_item_read_s * 1000), MAX_UINT32)
    head.freshness.user_read_ms = min(math.ceil(rows.user_read_s * 1000), MAX_UINT32)
    if rows.newest_user_event_s > 0:
        head.freshness.newest_user_event.FromMicroseconds(round(rows.newest_user_event_s * 1e6))
    return serialised(head, request.item_ids, scores, chosen, explain=request.explain)


def respond_without_scenarios(served: Served, request: Request, scenarios: Scenarios, degraded: Degraded) -> bytes:
    """The answer of a system that knows no scenario yet: the request's order, score 0; serialised."""
    if not scenarios.available:
        degraded.add(pb.DEGRADATION_REASON_STORE_UNAVAILABLE, "the online store could not be read")
    degraded.add(pb.DEGRADATION_REASON_NO_SCENARIOS, "no scenario is known: items are in the order of the request")
    chosen = select(np.arange(len(request.item_ids)), request.top_k)
    return pb.RankResponse(
        items=[pb.RankedItem(item_id=request.item_ids[place]) for place in chosen],
        scenario_id=request.scenario_id,
        model_version=served.model.version,
        experiment_arm=served.arm,
        degraded=degraded.reasons,
        freshness=pb.FeatureFreshness(),
        attribution_token=attribution_token(served.model.version, served.arm, request.scenario_id, request.time_s),
    ).SerializeToString()


def warm_up(ranker: Ranker) -> None:
    """Run scorer and recogniser on made-up rows, so that the first real request does not pay for first times."""
    schema = ranker.schema
    zeros = np.zeros(1, np.int64)
    rows = assemble_rows(
        schema,
        {view.name: default_block(view, 1) for view in schema.views},
        time_s=ranker.clock(),
        encoder=0,
        item_key=np.ones(1, np.int64),
        item_facet=np.zeros((1, len(schema.config.facets)), np.int64),
        pair_request=zeros,
        pair_item=zeros,
        context=np.zeros((1, len(schema.config.attributes_of("context")))),
    )
    ranker.models.choose("").model.score(encode(schema, rows), np.ones(1))
    if ranker.recogniser:
        width = len(recognition_names(schema.config, ranker.recogniser.sources))
        ranker.recogniser.posterior(np.zeros((1, width), np.float32))
