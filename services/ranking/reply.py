"""The answer as bytes: a message for the head, and its items written straight into protobuf's wire format.

An explained answer has thousands of small messages, which cost more to make one by one than the ranking itself. Every
item has its score, probability and contributions in the same layout, so all of them are one array; only ids differ in
length. A serialised message that is appended to another is merged with it, so the head can stay a message.
"""

from functools import lru_cache

import numpy as np

from crossrec.ranking.v1 import ranking_pb2 as pb
from services.registry.model import Scores
from services.store.redis.varints import encode_varint

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
    ]
)
"""RankedItem.contributions: field 4, a message of two floats, fields 1 and 2."""


def serialised(
    head: pb.RankResponse, item_ids: tuple[str, ...], scores: Scores, chosen: np.ndarray, *, explain: bool
) -> bytes:
    """The answer with the chosen items, in that order, after the head."""
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
    """What stands before the id, of `size` bytes, of an item that has `width` bytes of numbers."""
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
    preference = scores.preference[chosen]
    rows = np.empty(preference.shape, _CONTRIBUTION)
    rows["tag"], rows["size"] = 0x22, _CONTRIBUTION.itemsize - 2
    rows["preference_tag"], rows["contribution_tag"] = 0x0D, 0x15
    rows["preference"], rows["contribution"] = preference, preference * scores.transfer
    return rows.view(np.uint8).reshape(len(chosen), preference.shape[1] * _CONTRIBUTION.itemsize)
