"""An answered request as a record in protobuf, built from its query and trace after the answer.

Pure; knows nothing of Kafka or threads.
"""

from crossrec.ranking.v1 import served_pb2 as pb
from crossrec.ranking.v1.ranking_pb2 import RankResponse
from services.ranking.attribution import parse_attribution_token
from services.ranking.hydrate import RequestRows
from services.ranking.outcome import RankTrace
from services.ranking.served_log.tensors import pack_tensors
from services.ranking.validate import RankQuery

NANOS = 1_000_000_000


def build_record(
    query: RankQuery, trace: RankTrace, served_s: float, schema_fingerprint: int, feature_items: int
) -> pb.ServedRanking:
    """The record of an answer given at `served_s`, seconds since 1970.

    It holds the features of the first `feature_items` items of the answer.
    """
    answer = RankResponse.FromString(trace.reply)
    for item in answer.items:
        item.ClearField("contributions")
    chosen = trace.chosen[:feature_items]
    record = pb.ServedRanking(
        answer_id=parse_attribution_token(answer.attribution_token).answer_id,
        user_id=query.user_id,
        scenario_given=bool(query.scenario_id),
        posterior=trace.posterior.tolist(),
        answer=answer,
        candidates=len(query.item_ids),
        user=_user_position(trace.rows),
        features=pb.ServedFeatures(
            schema_fingerprint=schema_fingerprint,
            encoder_fingerprint=trace.rows.features.encoder,
            items=len(chosen),
            tensors=pack_tensors(trace.tensors, chosen),
        ),
    )
    record.served_time.FromNanoseconds(round(served_s * NANOS))
    record.request_time.FromNanoseconds(round(query.time_s * NANOS))
    record.context.attributes.update(query.context)
    for name, values in query.context_categories.items():
        record.context.category_attributes[name].values.extend(values)
    return record


def _user_position(rows: RequestRows) -> pb.ServedUser:
    epoch, partition, offset = rows.features.user.ints("position")[0].tolist()
    return pb.ServedUser(topic_epoch=epoch, partition=partition, offset=offset)
