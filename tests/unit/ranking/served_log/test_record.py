"""What a record holds of an answer."""

import numpy as np
import pytest

from crossrec.ranking.v1.ranking_pb2 import RankRequest, RankResponse
from crossrec.ranking.v1.served_pb2 import ServedRanking
from services.features.encode import Tensors, encode
from services.ranking.attribution import attribution_of
from services.ranking.outcome import Answered
from services.ranking.served_log.record import record_of
from services.ranking.served_log.tensors import PER_ITEM, unpacked
from tests.contract.rank_server import ENCODER, NOW_S, SCHEMA, order, request
from tests.unit.ranking.served_log.answers import answer, ranker_with


class Listening:
    """Keeps what it hears of."""

    def __init__(self) -> None:
        self.heard: list[Answered] = []

    def answered(self, answered: Answered) -> None:
        self.heard.append(answered)


def recorded(asked: RankRequest, feature_items: int = 32) -> tuple[RankResponse, Answered, ServedRanking]:
    listening = Listening()
    replied = answer(ranker_with(listening), asked)
    (answered,) = listening.heard
    assert answered.ranking
    made = record_of(answered.request, answered.ranking, NOW_S + 2, SCHEMA.fingerprint, feature_items)
    return replied, answered, made


def test_the_answer_is_in_the_record_without_its_explanations() -> None:
    """With the id of its token, the user, the times and what was asked."""
    asked = request(explain=True)
    asked.context.attributes["hour"] = 3.5
    asked.top_k = 2
    replied, _, record = recorded(asked)
    for item in replied.items:
        item.ClearField("contributions")
    assert replied == record.answer
    assert attribution_of(replied.attribution_token).answer_id == record.answer_id
    assert ("ann", True, 3) == (record.user_id, record.scenario_given, record.candidates)
    assert (NOW_S + 2, NOW_S) == (record.served_time.seconds, record.request_time.seconds)
    assert {"hour": 3.5} == dict(record.context.attributes)
    assert [0.0, 1.0] == list(record.posterior)


def test_a_recognised_scenario_comes_with_its_posterior() -> None:
    """As it mixed the weights."""
    replied, _, record = recorded(request(""))
    assert not record.scenario_given
    assert [line.probability for line in replied.scenario_posterior] == pytest.approx(list(record.posterior))


@pytest.mark.parametrize("time_s", [1_700_000_000.123456789, 1_799_999_999.9999998, 1e9])
def test_the_time_of_the_request_is_kept_to_the_last_bit(time_s: float) -> None:
    """A replay that decays to another moment would differ."""
    asked = request()
    asked.request_time.FromNanoseconds(round(time_s * 1e9))
    _, answered, record = recorded(asked)
    assert answered.request.time_s == record.request_time.seconds + record.request_time.nanos / 1e9


def test_features_are_those_of_the_first_items_in_the_order_of_the_answer() -> None:
    """Every value as the model saw it; the tensors of user and scenarios are whole."""
    replied, answered, record = recorded(request(), feature_items=2)
    assert ["tea", "milk"] == order(replied)[:2]
    assert (2, SCHEMA.fingerprint, ENCODER) == (
        record.features.items,
        record.features.schema_fingerprint,
        record.features.encoder_fingerprint,
    )
    served = unpacked(record.features.tensors)
    expected = encode(SCHEMA, answered.ranking.rows.hydrated)
    assert {*Tensors.__dataclass_fields__} == {*served}
    for name, values in served.items():
        whole = getattr(expected, name)
        np.testing.assert_array_equal(whole[[2, 1]] if name in PER_ITEM else whole, values, err_msg=name)


def test_no_features_of_items_are_kept_where_none_are_wanted() -> None:
    """The rest of the record is as ever."""
    _, _, record = recorded(request(), feature_items=0)
    assert (0, 3) == (record.features.items, len(record.answer.items))


def test_the_position_of_the_user_s_row_is_kept() -> None:
    """Epoch, partition and offset of the newest record in it; none for users without a row."""
    _, answered, record = recorded(request())
    position = record.user.topic_epoch, record.user.partition, record.user.offset
    assert position == tuple(answered.ranking.rows.hydrated.user.ints("position")[0].tolist())
    assert 1 == record.user.topic_epoch
    nobody = recorded(request(user_id="nobody"))[2].user
    assert (-1, -1, -1) == (nobody.topic_epoch, nobody.partition, nobody.offset)
