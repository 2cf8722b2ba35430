"""An answered request as a record: what was handed over while answering, made into protobuf afterwards.

Pure; knows nothing of Kafka or threads.
"""

from crossrec.ranking.v1 import served_pb2 as pb
from crossrec.ranking.v1.ranking_pb2 import RankResponse
from services.ranking.attribution import attribution_of
from services.ranking.hydrate import Hydration
from services.ranking.outcome import Ranking
from services.ranking.served_log.tensors import packed
from services.ranking.validate import Request

NANOS = 1_000_000_000


def record_of(
    request: Request, ranking: Ranking, served_s: float, schema_fingerprint: int, feature_items: int
) -> pb.ServedRanking:
    """The record of an answer made at `served_s`, seconds since 1970.

    It has the features of the first `feature_items` items of the answer.
    """
    answer = RankResponse.FromString(ranking.reply)
    for item in answer.items:
        item.ClearField("contributions")
    chosen = ranking.chosen[:feature_items]
    record = pb.ServedRanking(
        answer_id=attribution_of(answer.attribution_token).answer_id,
        user_id=request.user_id,
        scenario_given=bool(request.scenario_id),
        posterior=ranking.posterior.tolist(),
        answer=answer,
        candidates=len(request.item_ids),
        user=_user(ranking.rows),
        features=pb.ServedFeatures(
            schema_fingerprint=schema_fingerprint,
            encoder_fingerprint=ranking.rows.hydrated.encoder,
            items=len(chosen),
            tensors=packed(ranking.tensors, chosen),
        ),
    )
    record.served_time.FromNanoseconds(round(served_s * NANOS))
    record.request_time.FromNanoseconds(round(request.time_s * NANOS))
    record.context.attributes.update(request.context)
    return record


def _user(rows: Hydration) -> pb.ServedUser:
    epoch, partition, offset = rows.hydrated.user.ints("position")[0].tolist()
    return pb.ServedUser(topic_epoch=epoch, partition=partition, offset=offset)
