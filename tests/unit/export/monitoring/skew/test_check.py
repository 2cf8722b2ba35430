"""Selection of served requests that can be compared."""

import pytest

from crossrec.ranking.v1 import ranking_pb2 as pb
from crossrec.ranking.v1.served_pb2 import ServedRanking
from export.monitoring.served_log import ServedAnswers
from export.monitoring.skew.check import select_comparable
from services.features.config import FeatureConfig
from services.features.schema import build_schema
from tests.unit.export.monitoring.skew.skew_records import record

SCHEMA = build_schema(FeatureConfig(text_dims=2))
ENCODER = 7


def whole(**features: int) -> ServedRanking:
    made = record()
    made.features.schema_fingerprint, made.features.encoder_fingerprint, made.features.items = SCHEMA.fingerprint, 7, 1
    for name, value in features.items():
        setattr(made.features, name, value)
    return made


def degraded(reason: pb.DegradationReason) -> ServedRanking:
    made = whole()
    made.answer.degraded.add(reason=reason)
    return made


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        (whole(items=0), "without features"),
        (whole(schema_fingerprint=1), "another schema"),
        (whole(encoder_fingerprint=1), "another encoder"),
        (degraded(pb.DEGRADATION_REASON_STALE_USER), "degraded"),
        (degraded(pb.DEGRADATION_REASON_STORE_UNAVAILABLE), "degraded"),
    ],
)
def test_skipped_requests_are_counted_by_reason(made: ServedRanking, reason: str) -> None:
    """Beside those that were read, of erased users, and unreadable."""
    kept, counts = select_comparable(ServedAnswers([made], 2, 3), SCHEMA, ENCODER)
    assert [] == kept
    assert {reason: 1, "read": 1, "erased users": 2, "unreadable": 3} == {k: n for k, n in counts.items() if n}


def test_unknown_users_and_items_can_be_compared() -> None:
    """Their features are defaults on both sides."""
    kept, _ = select_comparable(
        ServedAnswers([whole(), degraded(pb.DEGRADATION_REASON_UNKNOWN_USER)], 0, 0), SCHEMA, ENCODER
    )
    assert 2 == len(kept)
