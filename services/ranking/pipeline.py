"""How a request is ranked, as a list of stages: validate, recognise, hydrate, score, diversify, select, respond.

`rank` validates a Rank request and ranks its candidates; `rank_candidates` ranks the candidates of any validated
query. Each stage is a function of the results of earlier stages, in a file of its own beside this one. Nothing here
knows gRPC, Kafka or Feast.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from crossrec.ranking.v1 import ranking_pb2 as pb
from services.errors import DeadlinePassed
from services.features.encode import Tensors, encode
from services.features.feature_rows import assemble_rows
from services.features.item_vectors import ItemVectors
from services.features.recognition import recognition_names
from services.features.rows import default_block
from services.features.schema import Schema
from services.ranking.cache.last_known import LastKnownRows
from services.ranking.cache.row_sources import RowSources
from services.ranking.diversify import diversify, select
from services.ranking.hydrate import UserRows, hydrate, read_user
from services.ranking.model.ab_split import ServingModels
from services.ranking.outcome import Observer, RankOutcome, RankTrace
from services.ranking.recognise import Recogniser, recognise, target_scenario
from services.ranking.request_state import Degradations, StageTimings
from services.ranking.respond import respond, respond_without_scenarios
from services.ranking.validate import RankQuery, check_pairs, validate


@dataclass(frozen=True)
class Ranker:
    """What ranking a request needs.

    Args:
        schema: the feature schema.
        rows: sources of feature rows.
        models: assigns a model to each user.
        clock: seconds since 1970.
        recogniser: recognises the scenario of requests that name none; without it the user's habits decide.
        last_known: users' last known rows, for when the store is unavailable; by default none are kept.
        observers: are notified of every answer.
        pseudonymize: maps a request's user id to the id in the online store; by default the same id.
    """

    schema: Schema
    rows: RowSources
    models: ServingModels
    clock: Callable[[], float] = time.time
    recogniser: Recogniser | None = None
    last_known: LastKnownRows[UserRows] = field(default_factory=lambda: LastKnownRows(0, 0))
    observers: tuple[Observer, ...] = ()
    pseudonymize: Callable[[str], str] = str


def rank(
    ranker: Ranker, message: pb.RankRequest, time_left_s: Callable[[], float], timings: StageTimings | None = None
) -> bytes:
    """Rank the candidates of a request; returns a serialised RankResponse.

    `timings` records when each stage ends. Raises InvalidRequest naming the field, DeadlinePassed when `time_left_s`
    runs out between stages.
    """
    timings = timings or StageTimings()
    query = validate(message, ranker.schema.config, ranker.clock(), ranker.pseudonymize)
    timings.end("validate")
    return rank_candidates(ranker, query, time_left_s, timings)


def rank_candidates(ranker: Ranker, query: RankQuery, time_left_s: Callable[[], float], timings: StageTimings) -> bytes:
    """Rank the candidates of a validated query; returns a serialised RankResponse.

    Raises InvalidRequest for more candidates than the known scenarios allow, DeadlinePassed.
    """
    degradations = Degradations()
    assignment = ranker.models.assign(query.user_id)
    scenarios = ranker.rows.scenarios.current()
    if not scenarios.ids:
        reply = respond_without_scenarios(assignment, query, scenarios, degradations)
        timings.end("respond")
        notify_observers(ranker, RankOutcome(query, assignment, degradations, timings))
        return reply
    check_pairs(query, len(scenarios.ids))
    timings.note(assignment.model.version, len(query.item_ids), len(scenarios.ids))
    left_s = check_deadline(time_left_s)
    user = read_user(ranker.schema, ranker.rows, ranker.last_known, query.user_id, scenarios, left_s)
    timings.end("read_user")
    posterior = recognise(ranker.recogniser, ranker.schema, query, scenarios, user.user_scenario, degradations)
    timings.end("recognise")
    check_deadline(time_left_s)
    rows = hydrate(ranker.schema, ranker.rows, query, scenarios, user, degradations)
    timings.end("hydrate")
    left_s = check_deadline(time_left_s)
    vectors = assignment.model.vectors
    tensors = encode(ranker.schema, rows.features, vectors=vectors)
    timings.end("encode")
    scores = assignment.model.score(tensors, posterior, left_s)
    timings.end("score")
    check_deadline(time_left_s)
    order = diversify(scores, tensors, query.diversity, query.top_k)
    chosen = select(order, query.top_k)
    timings.end("select")
    check_deadline(time_left_s)
    target = target_scenario(query, scenarios, posterior)
    reply = respond(assignment, query, target, scenarios, posterior, rows, scores, chosen, degradations)
    timings.end("respond")

    def tensors_for(wanted: Sequence[ItemVectors]) -> Tensors:
        same = wanted is vectors or not (wanted or vectors)
        return tensors if same else encode(ranker.schema, rows.features, vectors=wanted)

    ranker.models.observe(assignment, tensors_for, posterior, scores)
    trace = RankTrace(target, scenarios, posterior, rows, tensors, scores, chosen, reply)
    notify_observers(ranker, RankOutcome(query, assignment, degradations, timings, trace))
    return reply


def notify_observers(ranker: Ranker, outcome: RankOutcome) -> None:
    """Notify the observers of an answer."""
    for observer in ranker.observers:
        observer.on_ranked(outcome)


def check_deadline(time_left_s: Callable[[], float]) -> float:
    """The seconds left; raises DeadlinePassed if there are none, so that work ends when the client has given up."""
    left_s = time_left_s()
    if left_s <= 0:
        raise DeadlinePassed("the deadline passed while ranking")
    return left_s


def warm_up(ranker: Ranker) -> None:
    """Run model and recogniser on synthetic rows, so that the first request does not pay for lazy initialisation."""
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
        context=np.zeros((1, len(schema.config.columns_of("context")))),
    )
    model = ranker.models.assign("").model
    model.score(encode(schema, rows, vectors=model.vectors), np.ones(1))
    if ranker.recogniser:
        width = len(recognition_names(schema.config, ranker.recogniser.sources))
        ranker.recogniser.posterior(np.zeros((1, width), np.float32))
