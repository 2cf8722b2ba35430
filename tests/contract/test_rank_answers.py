"""What Rank answers, through a real channel: order, scores, explanations, posterior, freshness, token."""

import base64
import json

import numpy as np
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from crossrec.events.v1.events_pb2 import EVENT_TYPE_CLICK, BehaviorEvent, Entry
from crossrec.ranking.v1 import ranking_pb2 as pb
from services.events.validation import find_violation, stamp_entry
from services.features.encode import Tensors
from services.features.hashing import key64
from services.registry.model import Scores
from tests.contract.rank_server import (
    ITEMS,
    NOW_S,
    SCHEMA,
    History,
    RankServer,
    SwitchedStore,
    order,
    posterior,
    reasons,
    request,
    running,
    scores,
)


class UnevenModel:
    """Preferences that differ by item and scenario, in request order: P[n, j] = (n + 1) / (N + j + 1)."""

    version = "uneven/2"
    vectors = ()

    def score(self, tensors: Tensors, target: np.ndarray, _left_s: float = 0.0) -> Scores:
        items, scenarios = tensors.cross.shape[:2]
        preference = (np.arange(items)[:, None] + 1) / (items + np.arange(scenarios)[None] + 1)
        transfer = 0.2 + 0.7 * target
        score = preference @ transfer
        return Scores(preference, transfer, score, score / transfer.sum())


def test_items_are_ordered_by_score(server: RankServer) -> None:
    """Best first, whatever the order of the candidates; the same scores, and nothing is degraded."""
    forward, backward = server.rank(request()), server.rank(request(items=ITEMS[::-1]))
    assert order(forward) == order(backward) == ["tea", "milk", "dust"]
    assert scores(forward) == scores(backward)
    assert sorted(scores(forward).values(), reverse=True) == [item.score for item in forward.items]
    assert reasons(forward) == {}


def test_equal_scores_keep_the_order_of_the_request(server: RankServer) -> None:
    """Items without any events are alike."""
    items = [f"new {number}" for number in (3, 1, 2)]
    assert order(server.rank(request(items=items))) == items


def test_a_score_is_the_sum_of_its_contributions(store: SwitchedStore) -> None:
    """A contribution is weight times preference; the probability is the sum of share times preference."""
    with running(store, UnevenModel()) as server:
        answer = server.rank(request(explain=True))
    weights = {line.scenario_id: line.weight for line in answer.transfer_weights}
    assert weights == pytest.approx({"shelf": 0.2, "tv": 0.9})
    assert list(weights) == ["shelf", "tv"]
    shares = answer.transfer_weights
    assert [line.share for line in shares] == pytest.approx([0.2 / 1.1, 0.9 / 1.1])
    assert order(answer) == ["tea", "milk", "dust"]
    for item in answer.items:
        rank = ITEMS.index(item.item_id) + 1
        assert [part.preference for part in item.contributions] == pytest.approx([rank / 4, rank / 5])
        products = [p.preference * weight for p, weight in zip(item.contributions, weights.values(), strict=True)]
        assert [part.contribution for part in item.contributions] == pytest.approx(products)
        assert sum(part.contribution for part in item.contributions) == pytest.approx(item.score)
        assert item.probability == pytest.approx(item.score / sum(weights.values()))
        assert [part.share for part in item.contributions] == pytest.approx([p / item.score for p in products])
        mixed = sum(line.share * part.preference for line, part in zip(shares, item.contributions, strict=True))
        assert mixed == pytest.approx(item.probability)


def test_explanations_are_sent_only_on_request(server: RankServer) -> None:
    """The weights of the scenarios are always sent."""
    answer = server.rank(request())
    assert [len(item.contributions) for item in answer.items] == [0, 0, 0]
    assert [line.scenario_id for line in answer.transfer_weights] == ["shelf", "tv"]


@pytest.mark.parametrize(("top_k", "most"), [(0, 3), (1, 1), (2, 2), (3, 3), (2000, 3)])
def test_top_k_is_the_head_of_the_whole_answer(server: RankServer, top_k: int, most: int) -> None:
    """0 returns all; more than there are returns all, too."""
    wanted = request()
    whole = server.rank(wanted)
    wanted.top_k = top_k
    assert list(server.rank(wanted).items) == list(whole.items)[:most]


def test_the_answer_names_model_scenario_and_freshness(server: RankServer) -> None:
    """The newest event is the user's own; rows that were just read are no older than the request."""
    answer = server.rank(request())
    assert (answer.model_version, answer.scenario_id) == ("fake/1", "tv")
    assert answer.freshness.newest_user_event.seconds == NOW_S - 30
    assert answer.freshness.oldest_item_read_ms < 30_000
    assert server.rank(request(user_id="bob")).freshness.newest_user_event.seconds == NOW_S - 60


def test_the_attribution_token_is_made_per_answer_and_names_no_user(server: RankServer) -> None:
    """It fits BehaviorEvent.attribution_token and names the answer."""
    first, second = (server.rank(request()).attribution_token for _ in range(2))
    assert first != second
    assert len(first) <= 512
    content = json.loads(base64.urlsafe_b64decode(first + "=" * (-len(first) % 4)))
    assert (content["model"], content["scenario"], content["time_s"]) == ("fake/1", "tv", NOW_S)
    assert content["arm"] == ""
    assert "ann" not in json.dumps(content)


@pytest.mark.parametrize("scenario", ["s" * 128, "ü" * 64, "語" * 42, '"' * 128, "\\" * 128])
def test_any_token_is_accepted_with_an_event(server: RankServer, scenario: str) -> None:
    """Whatever the scenario's id: an event with an invalid token would be rejected."""
    token = server.rank(request(scenario)).attribution_token
    event = BehaviorEvent(
        user_id="ann", scenario_id="tv", item_id="tea", type=EVENT_TYPE_CLICK, attribution_token=token
    )
    entry = stamp_entry(Entry(behavior_event=event), NOW_S, lambda: "id")
    assert find_violation(entry, SCHEMA.config, NOW_S, 0.0) is None
    content = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    assert content["scenario"] in {scenario, key64(scenario)}


def test_numbers_beyond_single_precision_leave_scores_finite(server: RankServer) -> None:
    """They are bounded on the way to the model."""
    wanted = request()
    wanted.context.attributes["hour"] = 1.7e308
    assert np.isfinite(list(scores(server.rank(wanted)).values())).all()


def test_features_are_decayed_to_the_time_of_the_request(server: RankServer) -> None:
    """An hour later the clicks have decayed by half, so scores are lower; items without clicks keep theirs."""
    wanted = request()
    now = scores(server.rank(wanted))
    wanted.request_time.CopyFrom(Timestamp(seconds=int(NOW_S) + 3600))
    later = scores(server.rank(wanted))
    assert all(later[item] < now[item] for item in ("milk", "tea"))
    assert later["dust"] == now["dust"]


def test_without_a_scenario_the_users_activity_decides(server: RankServer) -> None:
    """The posterior sums to 1, the most probable scenario is answered, and weights follow the posterior."""
    answer = server.rank(request(""))
    shares = posterior(answer)
    assert list(shares) == ["shelf", "tv"]
    assert sum(shares.values()) == pytest.approx(1)
    # 3 of 4 own events, and half of all: (3 + 0.5) / 5. Nothing has decayed by more than a minute.
    assert shares["shelf"] == pytest.approx(0.7, abs=1e-3)
    assert answer.scenario_id == "shelf"
    assert [line.weight for line in answer.transfer_weights] == pytest.approx(
        [(1 + share) / 2 for share in shares.values()]
    )


def test_without_a_scenario_each_user_gets_their_own(server: RankServer) -> None:
    """Bob's events are all in tv; an unknown user gets the distribution of all users."""
    bob, unknown = server.rank(request("", "bob")), server.rank(request("", "nobody"))
    assert bob.scenario_id == "tv"
    assert posterior(bob)["tv"] == pytest.approx(2.5 / 3, abs=1e-3)
    assert posterior(unknown) == pytest.approx({"shelf": 0.5, "tv": 0.5}, abs=1e-3)


def test_the_posterior_is_uniform_without_events() -> None:
    """Scenarios that are described but have no events."""
    store = SwitchedStore()
    History(store).scenarios("a", "b", "c", "d")
    with running(store) as server:
        assert posterior(server.rank(request(""))) == dict.fromkeys("abcd", 0.25)


def test_diversity_reorders_and_keeps_scores(server: RankServer, store: SwitchedStore) -> None:
    """Of three items two have similar texts: the second of them moves behind the third."""
    history = History(store, epoch=2)
    history.items("cola", "cola zero", "soap", texts=[1, 1, 2])
    history.events(*[("eve", "tv", "cola")] * 5, *[("eve", "tv", "cola zero")] * 4, ("eve", "tv", "soap"))
    items = ["soap", "cola zero", "cola"]
    plain, varied = server.rank(request(items=items)), server.rank(request(items=items, diversity=0.5))
    assert order(plain) == ["cola", "cola zero", "soap"]
    assert order(varied) == ["cola", "soap", "cola zero"]
    assert scores(varied) == scores(plain)


def test_changes_after_the_start_are_ranked_with(server: RankServer, store: SwitchedStore) -> None:
    """A new scenario, a new item and a click in it change the next answer."""
    assert reasons(server.rank(request("radio", items=["song"]))) == {
        pb.DEGRADATION_REASON_UNKNOWN_ITEMS: 1,
        pb.DEGRADATION_REASON_UNKNOWN_SCENARIO: 0,
    }
    history = History(store, epoch=2)
    history.scenarios("radio")
    history.items("song")
    history.events(("ann", "radio", "song"), time_s=NOW_S - 1)
    answer = server.rank(request("radio", items=["milk", "song"]))
    assert reasons(answer) == {}
    assert [line.scenario_id for line in answer.transfer_weights] == ["radio", "shelf", "tv"]
    assert answer.freshness.newest_user_event.seconds == NOW_S - 1
