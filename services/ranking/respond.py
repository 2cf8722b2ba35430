"""The stage that makes the answer, as bytes: a message for the head, and items in protobuf's wire format.

An explained answer has thousands of small messages, which cost more to make one by one than the ranking itself. Every
item has its score, probability and contributions in the same layout, so all of them are one array; only ids differ in
length. A serialised message that is appended to another is merged with it, so the head can stay a message.
"""

import math
from functools import lru_cache

import numpy as np

from crossrec.ranking.v1 import ranking_pb2 as pb
from services.ranking.attribution import make_attribution_token
from services.ranking.cache.scenario_cache import Scenarios
from services.ranking.diversify import select
from services.ranking.hydrate import RequestRows
from services.ranking.model.ab_split import Assignment
from services.ranking.request_state import Degradations
from services.ranking.validate import RankQuery
from services.registry.model import Scores
from services.store.redis.varints import encode_varint

MAX_UINT32 = 2**32 - 1

_ITEMS = b"\x0a"
"""RankResponse.items: field 1, a message."""

_ID = b"\x0a"
"""RankedItem.item_id: field 1, a string."""

_FLOAT = np.dtype("<f4")
_NUMBERS = np.dtype([("score_tag", "u1"), ("score", _FLOAT), ("probability_tag", "u1"), ("probability", _FLOAT)])
"""RankedItem.score and .probability: fields 2 and 3, floats."""

_CONTRIBUTION = np.dtype(
    [
        *(("tag", "u1"), ("size", "u1")),
        *(("preference_tag", "u1"), ("preference", _FLOAT)),
        *(("contribution_tag", "u1"), ("contribution", _FLOAT)),
        *(("share_tag", "u1"), ("share", _FLOAT)),
    ]
)
"""RankedItem.contributions: field 4, a message of three floats, fields 1 to 3."""

_TINY = np.finfo(np.float32).tiny


def respond(
    assignment: Assignment,
    query: RankQuery,
    target: str,
    scenarios: Scenarios,
    posterior: np.ndarray,
    rows: RequestRows,
    scores: Scores,
    chosen: np.ndarray,
    degradations: Degradations,
) -> bytes:
    """The answer, a serialised RankResponse."""
    version, arm = assignment.model.version, assignment.arm
    head = pb.RankResponse(
        scenario_id=target,
        transfer_weights=[
            pb.TransferWeight(scenario_id=name, weight=weight, share=share)
            for name, weight, share in zip(scenarios.ids, scores.transfer.tolist(), scores.share.tolist(), strict=True)
        ],
        model_version=version,
        experiment_arm=arm,
        degraded=degradations.reasons,
        attribution_token=make_attribution_token(version, arm, target, query.time_s),
    )
    if not query.scenario_id:
        named = zip(scenarios.ids, posterior.tolist(), strict=True)
        head.scenario_posterior.extend(pb.ScenarioProbability(scenario_id=s, probability=p) for s, p in named)
    head.freshness.oldest_item_read_ms = min(round(rows.oldest_item_read_s * 1000), MAX_UINT32)
    head.freshness.user_read_ms = min(math.ceil(rows.user_read_s * 1000), MAX_UINT32)
    if rows.newest_user_event_s > 0:
        head.freshness.newest_user_event.FromMicroseconds(round(rows.newest_user_event_s * 1e6))
    return serialize_reply(head, query.item_ids, scores, chosen, explain=query.explain)


def respond_without_scenarios(
    assignment: Assignment, query: RankQuery, scenarios: Scenarios, degradations: Degradations
) -> bytes:
    """The answer while no scenario is known: items in the order of the request with score 0; serialised."""
    if not scenarios.available:
        degradations.add(pb.DEGRADATION_REASON_STORE_UNAVAILABLE, "the online store could not be read")
    degradations.add(pb.DEGRADATION_REASON_NO_SCENARIOS, "no scenario is known: items are in the order of the request")
    chosen = select(np.arange(len(query.item_ids)), query.top_k)
    version, arm = assignment.model.version, assignment.arm
    return pb.RankResponse(
        items=[pb.RankedItem(item_id=query.item_ids[place]) for place in chosen],
        scenario_id=query.scenario_id,
        model_version=version,
        experiment_arm=arm,
        degraded=degradations.reasons,
        freshness=pb.FeatureFreshness(),
        attribution_token=make_attribution_token(version, arm, query.scenario_id, query.time_s),
    ).SerializeToString()


def serialize_reply(
    head: pb.RankResponse, item_ids: tuple[str, ...], scores: Scores, chosen: np.ndarray, *, explain: bool
) -> bytes:
    """The answer: the head, then the chosen items in their order."""
    numbers = _numbers(scores, chosen)
    if explain:
        contributions = _contributions(scores, chosen)
        numbers = np.concatenate([numbers, contributions], axis=1)
    width, data = numbers.shape[1], numbers.tobytes()
    parts, end = [head.SerializeToString()], 0
    for place in chosen.tolist():
        item = item_ids[place].encode()
        parts += (_item_head(len(item), width), item, data[end : (end := end + width)])
    return b"".join(parts)


@lru_cache(4096)
def _item_head(size: int, width: int) -> bytes:
    """The bytes before an item's id, for an id of `size` bytes and `width` bytes of numbers."""
    own = encode_varint(size)
    return _ITEMS + encode_varint(len(_ID) + len(own) + size + width) + _ID + own


def _numbers(scores: Scores, chosen: np.ndarray) -> np.ndarray:
    """Score and probability of each chosen item as bytes, [K, width]."""
    rows = np.empty(len(chosen), _NUMBERS)
    rows["score_tag"], rows["probability_tag"] = 0x15, 0x1D
    rows["score"], rows["probability"] = scores.score[chosen], scores.probability[chosen]
    return rows.view(np.uint8).reshape(len(chosen), _NUMBERS.itemsize)


def _contributions(scores: Scores, chosen: np.ndarray) -> np.ndarray:
    """The contributions of each chosen item as bytes, [K, sources * width]."""
    preference, score = scores.preference[chosen], scores.score[chosen, None]
    contribution = preference * scores.transfer
    data = np.empty((len(chosen), preference.shape[1] * _CONTRIBUTION.itemsize), np.uint8)
    data[:] = _contribution_tags(preference.shape[1])
    rows = data.view(_CONTRIBUTION)
    rows["preference"], rows["contribution"] = preference, contribution
    # Rounding may bring a share just above 1; a score of 0 has contributions of 0.
    rows["share"] = np.minimum(contribution / np.maximum(score, _TINY), 1)
    return data


@lru_cache(64)
def _contribution_tags(sources: int) -> np.ndarray:
    """The contributions of an item whose values are all 0, as bytes; copying them costs less than setting each tag."""
    rows = np.zeros(sources, _CONTRIBUTION)
    rows["tag"], rows["size"] = 0x22, _CONTRIBUTION.itemsize - 2
    rows["preference_tag"], rows["contribution_tag"], rows["share_tag"] = 0x0D, 0x15, 0x1D
    return rows.view(np.uint8)
