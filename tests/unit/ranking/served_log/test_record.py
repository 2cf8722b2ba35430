"""The record of an answer in the served log."""

import numpy as np
import pytest

from crossrec.ranking.v1.ranking_pb2 import RankRequest, RankResponse
from crossrec.ranking.v1.served_pb2 import ServedRanking
from services.features.encode import Tensors, encode
from services.ranking.attribution import parse_attribution_token
from services.ranking.outcome import RankOutcome
from services.ranking.served_log.record import build_record
from services.ranking.served_log.tensors import PER_ITEM, unpack_tensors
from tests.contract.rank_server import ENCODER, NOW_S, SCHEMA, order, request
from tests.unit.ranking.served_log.answers import answer, ranker_with


class RecordingObserver:
    """Records the outcomes."""

    def __init__(self) -> None:
        self.outcomes: list[RankOutcome] = []

    def on_ranked(self, outcome: RankOutcome) -> None:
        self.outcomes.append(outcome)


def rank_and_record(
    rank_request: RankRequest, feature_items: int = 32
) -> tuple[RankResponse, RankOutcome, ServedRanking]:
    observer = RecordingObserver()
    replied = answer(ranker_with(observer), rank_request)
    (outcome,) = observer.outcomes
    assert outcome.trace
    made = build_record(outcome.query, outcome.trace, NOW_S + 2, SCHEMA.fingerprint, feature_items)
    return replied, outcome, made


def test_the_answer_is_in_the_record_without_its_explanations() -> None:
    """With the id of its token, the user, the times and the request's fields."""
    rank_request = request(explain=True)
    rank_request.context.attributes["hour"] = 3.5
    rank_request.top_k = 2
    replied, _, record = rank_and_record(rank_request)
    for item in replied.items:
        item.ClearField("contributions")
    assert replied == record.answer
    assert parse_attribution_token(replied.attribution_token).answer_id == record.answer_id
    assert ("ann", True, 3) == (record.user_id, record.scenario_given, record.candidates)
    assert (NOW_S + 2, NOW_S) == (record.served_time.seconds, record.request_time.seconds)
    assert {"hour": 3.5} == dict(record.context.attributes)
    assert [0.0, 1.0] == list(record.posterior)


def test_a_recognised_scenario_comes_with_its_posterior() -> None:
    """The posterior that mixed the weights."""
    replied, _, record = rank_and_record(request(""))
    assert not record.scenario_given
    assert [line.probability for line in replied.scenario_posterior] == pytest.approx(list(record.posterior))


@pytest.mark.parametrize("time_s", [1_700_000_000.123456789, 1_799_999_999.9999998, 1e9])
def test_the_time_of_the_request_is_kept_to_the_last_bit(time_s: float) -> None:
    """A replay that decays to another time would give other values."""
    rank_request = request()
    rank_request.request_time.FromNanoseconds(round(time_s * 1e9))
    _, outcome, record = rank_and_record(rank_request)
    assert outcome.query.time_s == record.request_time.seconds + record.request_time.nanos / 1e9


def test_features_are_those_of_the_first_items_in_the_order_of_the_answer() -> None:
    """Every value as the model's input had it; the tensors of user and scenarios are complete."""
    replied, outcome, record = rank_and_record(request(), feature_items=2)
    assert ["tea", "milk"] == order(replied)[:2]
    assert (2, SCHEMA.fingerprint, ENCODER) == (
        record.features.items,
        record.features.schema_fingerprint,
        record.features.encoder_fingerprint,
    )
    served = unpack_tensors(record.features.tensors)
    expected = encode(SCHEMA, outcome.trace.rows.features)
    assert {*Tensors.__dataclass_fields__} == {*served}
    for name, values in served.items():
        whole = getattr(expected, name)
        np.testing.assert_array_equal(whole[[2, 1]] if name in PER_ITEM else whole, values, err_msg=name)


def test_without_feature_items_no_item_features_are_kept() -> None:
    """The other fields are not affected."""
    _, _, record = rank_and_record(request(), feature_items=0)
    assert (0, 3) == (record.features.items, len(record.answer.items))


def test_the_position_of_the_user_s_row_is_kept() -> None:
    """Epoch, partition and offset of the newest record in it; none for users without a row."""
    _, outcome, record = rank_and_record(request())
    position = record.user.topic_epoch, record.user.partition, record.user.offset
    assert position == tuple(outcome.trace.rows.features.user.ints("position")[0].tolist())
    assert 1 == record.user.topic_epoch
    unknown = rank_and_record(request(user_id="nobody"))[2].user
    assert (-1, -1, -1) == (unknown.topic_epoch, unknown.partition, unknown.offset)
