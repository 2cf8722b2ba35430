"""The bytes of an answer equal those of the serialised message."""

import numpy as np
import pytest

from crossrec.ranking.v1 import ranking_pb2 as pb
from services.features.ids import MAX_ID_BYTES
from services.ranking.respond import serialize_reply
from services.ranking.validate import MAX_ITEMS, MAX_PAIRS
from services.registry.model import Scores

IDS = ("a", "x" * 127, "y" * 128, "\N{SNOWMAN}" * 42, "z")
TRANSFER = np.array([0.25, 1.0, 0.0], np.float32)
PREFERENCE = np.linspace(0.0, 1.0, 15, dtype=np.float32).reshape(5, 3)
SCORES = Scores(PREFERENCE, TRANSFER, PREFERENCE @ TRANSFER, PREFERENCE @ TRANSFER / TRANSFER.sum())


@pytest.mark.parametrize("explain", [True, False])
@pytest.mark.parametrize("chosen", [[], [3], [4, 2, 0, 1, 3]])
def test_an_answer_equals_the_message_with_the_chosen_items(chosen: list[int], explain: bool) -> None:
    """In the chosen order, for ids of any length, also with values of zero."""
    head = pb.RankResponse(scenario_id="tv", model_version="m/1")
    expected = pb.RankResponse(scenario_id="tv", model_version="m/1")
    for place in chosen:
        item = expected.items.add(item_id=IDS[place], score=SCORES.score[place], probability=SCORES.probability[place])
        for preference, weight in zip(PREFERENCE[place], TRANSFER, strict=True):
            if explain:
                contribution = preference * weight
                share = contribution / SCORES.score[place]
                item.contributions.add(preference=preference, contribution=contribution, share=share)
    data = serialize_reply(head, IDS, SCORES, np.array(chosen, np.int64), explain=explain)
    assert expected == pb.RankResponse.FromString(data)


def test_shares_of_a_score_of_zero_are_zero() -> None:
    """Also those of weights that are all 0."""
    nothing = Scores(np.zeros((1, 2), np.float32), np.zeros(2, np.float32), np.zeros(1), np.zeros(1))
    data = serialize_reply(pb.RankResponse(), ("a",), nothing, np.array([0]), explain=True)
    (item,) = pb.RankResponse.FromString(data).items
    assert [0.0, 0.0] == [part.share for part in item.contributions]
    assert [0.0, 0.0] == nothing.share.tolist()


def test_rounding_brings_no_share_above_one() -> None:
    """The score comes from the graph, which may round it below the product."""
    below = np.nextafter(np.float32(0.3), np.float32(0))
    scores = Scores(np.float32([[1.0]]), np.float32([0.3]), np.array([below]), np.float32([1.0]))
    data = serialize_reply(pb.RankResponse(), ("a",), scores, np.array([0]), explain=True)
    assert 1.0 == pb.RankResponse.FromString(data).items[0].contributions[0].share


@pytest.mark.parametrize(("scenarios", "candidates"), [(64, MAX_ITEMS), (1000, MAX_PAIRS // 1000), (1, MAX_ITEMS)])
def test_the_largest_answers_fit_into_what_clients_receive_by_default(scenarios: int, candidates: int) -> None:
    """4 MiB, explained, with recognition, and with ids of the greatest length."""
    names = [f"{number:0{MAX_ID_BYTES}}" for number in range(scenarios)]
    items = tuple(f"{number:0{MAX_ID_BYTES}}" for number in range(candidates))
    preference, transfer = np.ones((candidates, scenarios), np.float32), np.ones(scenarios, np.float32)
    scores = Scores(preference, transfer, preference @ transfer, preference @ transfer / scenarios)
    head = pb.RankResponse(
        scenario_id=names[0],
        transfer_weights=[pb.TransferWeight(scenario_id=name, weight=1.0, share=1.0) for name in names],
        scenario_posterior=[pb.ScenarioProbability(scenario_id=name, probability=1.0) for name in names],
        model_version="m" * 1000,
        attribution_token="t" * 512,
    )
    assert len(serialize_reply(head, items, scores, np.arange(candidates), explain=True)) < 3 * 1024 * 1024
