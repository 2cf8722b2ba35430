"""An answered request as a record: what was handed over while answering, made into protobuf afterwards.

Pure; knows nothing of Kafka or threads.
"""

from dataclasses import dataclass

import numpy as np

from crossrec.ranking.v1 import served_pb2 as pb
from crossrec.ranking.v1.ranking_pb2 import RankResponse
from services.features.encode import Tensors
from services.ranking.attribution import attribution_of
from services.ranking.hydrate import Hydration
from services.ranking.served_log.tensors import packed
from services.ranking.validate import Request

NANOS = 1_000_000_000


@dataclass(frozen=True)
class Answered:
    """A request and its answer, by reference: nothing of it may change afterwards.

    Args:
        time_s: when it was answered, seconds since 1970.
        request: what was asked.
        reply: the answer, a serialised RankResponse.
        posterior: [J] over target scenarios.
        rows: what the tensors were made of.
        tensors: the features, of all candidates.
        chosen: [K] the answer's items, as places among the candidates.
    """

    time_s: float
    request: Request
    reply: bytes
    posterior: np.ndarray
    rows: Hydration
    tensors: Tensors
    chosen: np.ndarray


def record_of(answered: Answered, schema_fingerprint: int, feature_items: int) -> pb.ServedRanking:
    """The record, with the features of the first `feature_items` items of the answer."""
    request, answer = answered.request, RankResponse.FromString(answered.reply)
    for item in answer.items:
        item.ClearField("contributions")
    chosen = answered.chosen[:feature_items]
    record = pb.ServedRanking(
        answer_id=attribution_of(answer.attribution_token).answer_id,
        user_id=request.user_id,
        scenario_given=bool(request.scenario_id),
        posterior=answered.posterior.tolist(),
        answer=answer,
        candidates=len(request.item_ids),
        user=_user(answered.rows),
        features=pb.ServedFeatures(
            schema_fingerprint=schema_fingerprint,
            encoder_fingerprint=answered.rows.hydrated.encoder,
            items=len(chosen),
            tensors=packed(answered.tensors, chosen),
        ),
    )
    record.served_time.FromNanoseconds(round(answered.time_s * NANOS))
    record.request_time.FromNanoseconds(round(request.time_s * NANOS))
    record.context.attributes.update(request.context)
    return record


def _user(rows: Hydration) -> pb.ServedUser:
    epoch, partition, offset = rows.hydrated.user.ints("position")[0].tolist()
    return pb.ServedUser(topic_epoch=epoch, partition=partition, offset=offset)
