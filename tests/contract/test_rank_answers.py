"""What Rank answers, through a real channel: the ranking itself, and every way in which it may be degraded."""

import base64
import json
import threading
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait

import grpc
import numpy as np
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc.error_details_pb2 import ErrorInfo
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_status import rpc_status

from crossrec.events.v1.events_pb2 import EVENT_TYPE_CLICK, BehaviorEvent, Entry
from crossrec.ranking.v1 import ranking_pb2 as pb
from crossrec.ranking.v1.ranking_pb2 import RankOptions, RankRequest, RankResponse
from services.events.validation import stamped, violation
from services.features.encode import Tensors
from services.features.hashing import key64
from services.ranking.model import FakeModel, Scores
from services.store.protocol import StaleSchema, StoreUnavailable
from tests.contract.rank_server import NOW_S, SCHEMA, History, RankServer, SwitchedStore, running

ITEMS = ["dust", "milk", "tea"]
"""From least to most clicked."""


class UnevenModel:
    """Preferences that differ by item and scenario, in request order: P[n, j] = (n + 1) / (N + j + 1)."""

    version = "uneven/2"

    def score(self, tensors: Tensors, target: np.ndarray) -> Scores:
        items, scenarios = tensors.cross.shape[:2]
        preference = (np.arange(items)[:, None] + 1) / (items + np.arange(scenarios)[None] + 1)
        transfer = 0.2 + 0.7 * target
        score = preference @ transfer
        return Scores(preference, transfer, score, score / transfer.sum())


class GatedModel(FakeModel):
    """Says when a request has reached it, and scores only after `gate` is opened."""

    def __init__(self) -> None:
        self.reached, self.gate = threading.Semaphore(0), threading.Event()

    def score(self, tensors: Tensors, target: np.ndarray) -> Scores:
        self.reached.release()
        assert self.gate.wait(30)
        return super().score(tensors, target)


@pytest.fixture
def store() -> SwitchedStore:
    """Two scenarios, three items, and a user who does more in the shelf than on tv."""
    store = SwitchedStore()
    history = History(store)
    history.scenarios("shelf", "tv")
    history.items(*ITEMS)
    history.events(("ann", "tv", "milk"), ("bob", "tv", "tea"), ("bob", "tv", "tea"))
    history.events(*[("ann", "shelf", "tea")] * 3, time_s=NOW_S - 30)
    return store


@pytest.fixture
def server(store: SwitchedStore) -> Iterator[RankServer]:
    with running(store) as server:
        yield server


def request(scenario_id: str = "tv", user_id: str = "ann", items: list[str] = ITEMS, **options: float) -> RankRequest:
    return RankRequest(user_id=user_id, scenario_id=scenario_id, item_ids=items, options=RankOptions(**options))


def order(answer: RankResponse) -> list[str]:
    return [item.item_id for item in answer.items]


def scores(answer: RankResponse) -> dict[str, float]:
    return {item.item_id: item.score for item in answer.items}


def reasons(answer: RankResponse) -> dict[pb.DegradationReason, int]:
    """The reasons in order, with the number of items concerned."""
    return {degradation.reason: degradation.item_count for degradation in answer.degraded}


def posterior(answer: RankResponse) -> dict[str, float]:
    return {line.scenario_id: line.probability for line in answer.scenario_posterior}


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
    """A contribution is weight times preference; the probability is the score over the sum of weights."""
    with running(store, UnevenModel()) as server:
        answer = server.rank(request(explain=True))
    weights = {line.scenario_id: line.weight for line in answer.transfer_weights}
    assert weights == pytest.approx({"shelf": 0.2, "tv": 0.9})
    assert list(weights) == ["shelf", "tv"]
    assert order(answer) == ["tea", "milk", "dust"]
    for item in answer.items:
        rank = ITEMS.index(item.item_id) + 1
        assert [part.preference for part in item.contributions] == pytest.approx([rank / 4, rank / 5])
        products = [p.preference * weight for p, weight in zip(item.contributions, weights.values(), strict=True)]
        assert [part.contribution for part in item.contributions] == pytest.approx(products)
        assert sum(part.contribution for part in item.contributions) == pytest.approx(item.score)
        assert item.probability == pytest.approx(item.score / sum(weights.values()))


def test_explanations_come_only_when_asked_for(server: RankServer) -> None:
    """The weights of the scenarios always come."""
    answer = server.rank(request())
    assert [len(item.contributions) for item in answer.items] == [0, 0, 0]
    assert [line.scenario_id for line in answer.transfer_weights] == ["shelf", "tv"]


@pytest.mark.parametrize(("top_k", "most"), [(0, 3), (1, 1), (2, 2), (3, 3), (2000, 3)])
def test_top_k_is_the_head_of_the_whole_answer(server: RankServer, top_k: int, most: int) -> None:
    """0 returns all; more than there are is fine."""
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
    """It fits BehaviorEvent.attribution_token and says what was answered."""
    first, second = (server.rank(request()).attribution_token for _ in range(2))
    assert first != second
    assert len(first) <= 512
    content = json.loads(base64.urlsafe_b64decode(first + "=" * (-len(first) % 4)))
    assert (content["model"], content["scenario"], content["time_s"]) == ("fake/1", "tv", NOW_S)
    assert "ann" not in json.dumps(content)


@pytest.mark.parametrize("scenario", ["s" * 128, "ü" * 64, "語" * 42, '"' * 128, "\x01" * 128])
def test_any_token_is_accepted_with_an_event(server: RankServer, scenario: str) -> None:
    """Whatever the scenario is called: a token that an event may not carry would lose the event."""
    token = server.rank(request(scenario)).attribution_token
    event = BehaviorEvent(
        user_id="ann", scenario_id="tv", item_id="tea", type=EVENT_TYPE_CLICK, attribution_token=token
    )
    entry = stamped(Entry(behavior_event=event), NOW_S, lambda: "id")
    assert violation(entry, SCHEMA.config, NOW_S, 0.0) is None
    content = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    assert content["scenario"] in {scenario, key64(scenario)}


def test_numbers_beyond_single_precision_leave_scores_finite(server: RankServer) -> None:
    """They are bounded on the way to the model."""
    wanted = request()
    wanted.context.attributes["hour"] = 1.7e308
    assert np.isfinite(list(scores(server.rank(wanted)).values())).all()


def test_features_are_decayed_to_the_time_of_the_request(server: RankServer) -> None:
    """An hour later the clicks have faded by half, so scores are lower; what was never clicked stays."""
    wanted = request()
    now = scores(server.rank(wanted))
    wanted.request_time.CopyFrom(Timestamp(seconds=int(NOW_S) + 3600))
    later = scores(server.rank(wanted))
    assert all(later[item] < now[item] for item in ("milk", "tea"))
    assert later["dust"] == now["dust"]


def test_an_unknown_user_is_ranked_by_what_others_do(server: RankServer) -> None:
    """The same order, no time of a newest event, and the reason."""
    answer = server.rank(request(user_id="nobody"))
    assert order(answer) == ["tea", "milk", "dust"]
    assert reasons(answer) == {pb.DEGRADATION_REASON_UNKNOWN_USER: 0}
    assert not answer.freshness.HasField("newest_user_event")


def test_unknown_items_are_ranked_by_defaults(server: RankServer) -> None:
    """They are in the answer, behind what is known to be wanted, and counted."""
    answer = server.rank(request(items=["x", "tea", "y"]))
    assert order(answer) == ["tea", "x", "y"]
    assert reasons(answer) == {pb.DEGRADATION_REASON_UNKNOWN_ITEMS: 2}
    assert "2 of 3 candidates" in answer.degraded[0].detail


def test_in_an_unknown_scenario_all_count_alike(server: RankServer) -> None:
    """The scenario is answered as it was given, with equal weights and without posterior."""
    answer = server.rank(request("radio"))
    assert answer.scenario_id == "radio"
    assert len({line.weight for line in answer.transfer_weights}) == 1
    assert reasons(answer) == {pb.DEGRADATION_REASON_UNKNOWN_SCENARIO: 0}
    assert posterior(answer) == {}


def test_everything_unknown_gives_every_reason_once(server: RankServer) -> None:
    """The answer still holds every candidate."""
    answer = server.rank(request("radio", "nobody", ["x", "y"]))
    assert order(answer) == ["x", "y"]
    assert reasons(answer) == {
        pb.DEGRADATION_REASON_UNKNOWN_USER: 0,
        pb.DEGRADATION_REASON_UNKNOWN_ITEMS: 2,
        pb.DEGRADATION_REASON_UNKNOWN_SCENARIO: 0,
    }
    assert len(answer.degraded) == 3


def test_without_a_scenario_the_users_activity_decides(server: RankServer) -> None:
    """The posterior sums to 1, the most probable scenario is answered, and weights follow the posterior."""
    answer = server.rank(request(""))
    shares = posterior(answer)
    assert list(shares) == ["shelf", "tv"]
    assert sum(shares.values()) == pytest.approx(1)
    # 3 of 4 own events, and half of all: (3 + 0.5) / 5. Nothing has faded by more than a minute.
    assert shares["shelf"] == pytest.approx(0.7, abs=1e-3)
    assert answer.scenario_id == "shelf"
    assert [line.weight for line in answer.transfer_weights] == pytest.approx(
        [(1 + share) / 2 for share in shares.values()]
    )


def test_without_a_scenario_each_user_gets_their_own(server: RankServer) -> None:
    """Bob never left tv; of somebody unknown the habits of all are assumed."""
    bob, nobody = server.rank(request("", "bob")), server.rank(request("", "nobody"))
    assert bob.scenario_id == "tv"
    assert posterior(bob)["tv"] == pytest.approx(2.5 / 3, abs=1e-3)
    assert posterior(nobody) == pytest.approx({"shelf": 0.5, "tv": 0.5}, abs=1e-3)


def test_the_posterior_is_uniform_where_nothing_ever_happened() -> None:
    """Described scenarios without events."""
    store = SwitchedStore()
    History(store).scenarios("a", "b", "c", "d")
    with running(store) as server:
        assert posterior(server.rank(request(""))) == dict.fromkeys("abcd", 0.25)


@pytest.mark.parametrize(
    ("scenario", "top_k", "expected"), [("tv", 0, ["tea", "milk", "dust"]), ("", 2, ["tea", "milk"])]
)
def test_an_empty_store_keeps_the_order_of_the_request(scenario: str, top_k: int, expected: list[str]) -> None:
    """Score 0, the reason, and top_k still holds."""
    wanted = request(scenario, items=["tea", "milk", "dust"])
    wanted.top_k = top_k
    with running(SwitchedStore()) as server:
        answer = server.rank(wanted)
    assert order(answer) == expected
    assert set(scores(answer).values()) == {0}
    assert reasons(answer) == {pb.DEGRADATION_REASON_NO_SCENARIOS: 0}
    assert (answer.scenario_id, answer.model_version) == (scenario, "fake/1")
    assert answer.attribution_token


def test_an_outage_serves_the_last_known_item_rows(server: RankServer, store: SwitchedStore) -> None:
    """Scores of an unknown user stay to the digit; when the store is back, so is the user."""
    before = server.rank(request(user_id="nobody"))
    store.failure = StoreUnavailable("away")
    during = server.rank(request())
    assert scores(during) == scores(before)
    assert reasons(during) == {pb.DEGRADATION_REASON_STORE_UNAVAILABLE: 0}
    assert not during.freshness.HasField("newest_user_event")
    assert server.rank(request("")).scenario_id in {"shelf", "tv"}
    store.failure = None
    assert reasons(server.rank(request())) == {}


@pytest.mark.parametrize(
    "view", ["scenario_index", "scenario_activity", "user", "user_scenario", "item", "item_scenario_activity"]
)
def test_an_outage_of_any_single_read_is_told(server: RankServer, store: SwitchedStore, view: str) -> None:
    """A request has several reads, and the store may fail at each; the candidates are all there."""
    server.rank(request())
    store.failure, store.failing_view = StoreUnavailable("away"), view
    answer = server.rank(request())
    assert order(answer) == ["tea", "milk", "dust"]
    assert reasons(answer) == {pb.DEGRADATION_REASON_STORE_UNAVAILABLE: 0}


def test_a_user_read_as_absent_is_unknown_whatever_else_fails(server: RankServer, store: SwitchedStore) -> None:
    """The store said so before it failed."""
    server.rank(request())
    store.failure, store.failing_view = StoreUnavailable("away"), "item"
    assert reasons(server.rank(request(user_id="nobody"))) == {
        pb.DEGRADATION_REASON_STORE_UNAVAILABLE: 0,
        pb.DEGRADATION_REASON_UNKNOWN_USER: 0,
    }


def test_items_never_read_before_an_outage_have_defaults(server: RankServer, store: SwitchedStore) -> None:
    """Both reasons; once the store is back they are read at once, not when they have aged."""
    server.rank(request(items=["tea"]))
    store.failure = StoreUnavailable("away")
    answer = server.rank(request(items=["milk", "tea"]))
    assert order(answer) == ["tea", "milk"]
    assert reasons(answer) == {
        pb.DEGRADATION_REASON_STORE_UNAVAILABLE: 0,
        pb.DEGRADATION_REASON_UNKNOWN_ITEMS: 1,
    }
    store.failure = None
    assert reasons(server.rank(request(items=["milk", "tea"]))) == {}


def test_an_outage_at_the_start_is_answered(store: SwitchedStore) -> None:
    """No scenario was ever read: both reasons, in the order of the request."""
    store.failure = StoreUnavailable("away")
    with running(store, cache_age_s=3600) as server:
        answer = server.rank(request())
        assert order(answer) == ITEMS
        assert reasons(answer) == {
            pb.DEGRADATION_REASON_STORE_UNAVAILABLE: 0,
            pb.DEGRADATION_REASON_NO_SCENARIOS: 0,
        }
        store.failure = None
        assert reasons(server.rank(request())) == {}


def test_rows_of_another_schema_are_unavailable(server: RankServer, store: SwitchedStore) -> None:
    """They cannot be read as these features: an error that says so, and nothing is served from memory."""
    server.rank(request())
    store.failure = StaleSchema("rows of view item were written under feature schema 1, this code has 2")
    error = server.refused(request())
    status, info = rpc_status.from_call(error), ErrorInfo()
    assert error.code() == grpc.StatusCode.UNAVAILABLE
    assert "under feature schema 1" in error.details()
    assert status is not None
    assert status.details[-1].Unpack(info)
    assert info.reason == "UNAVAILABLE"
    store.failure = None
    assert reasons(server.rank(request())) == {}


def outcome(server: RankServer, timeout_s: float = 30) -> grpc.StatusCode | None:
    """The code of the error that answers a request; None for an answer."""
    try:
        server.rank(request(), timeout_s)
    except grpc.RpcError as error:
        return error.code()
    return None


def test_more_requests_than_admitted_are_refused(store: SwitchedStore) -> None:
    """Also those that wait for a worker count; health is still told, and the admitted ones are answered."""
    model = GatedModel()
    with running(store, model, max_workers=1, max_waiting=2) as server, ThreadPoolExecutor(3) as pool:
        calls = [pool.submit(outcome, server) for _ in range(3)]
        try:
            refused, admitted = wait(calls, timeout=30, return_when=FIRST_COMPLETED)
            assert [call.result() for call in refused] == [grpc.StatusCode.RESOURCE_EXHAUSTED]
            health = health_pb2_grpc.HealthStub(server.channel).Check(health_pb2.HealthCheckRequest(), timeout=30)
            assert health.status == health_pb2.HealthCheckResponse.SERVING
        finally:
            model.gate.set()
        assert [call.result() for call in admitted] == [None, None]


def test_a_request_whose_turn_does_not_come_in_time_is_dropped(store: SwitchedStore) -> None:
    """DEADLINE_EXCEEDED, and the model never sees it; the one before it is answered."""
    model = GatedModel()
    with running(store, model, max_workers=1) as server, ThreadPoolExecutor(1) as pool:
        first = pool.submit(outcome, server)
        try:
            assert model.reached.acquire(timeout=30)
            assert outcome(server, timeout_s=0.1) == grpc.StatusCode.DEADLINE_EXCEEDED
            assert not model.reached.acquire(blocking=False)
        finally:
            model.gate.set()
        assert first.result() is None


def test_a_deadline_that_passes_while_ranking_frees_the_place(store: SwitchedStore) -> None:
    """DEADLINE_EXCEEDED; when the model returns, the only place is free again."""
    model = GatedModel()
    with running(store, model, max_workers=1, max_waiting=1) as server:
        try:
            assert outcome(server, timeout_s=0.1) == grpc.StatusCode.DEADLINE_EXCEEDED
            while (code := outcome(server, timeout_s=0.1)) == grpc.StatusCode.DEADLINE_EXCEEDED:
                pass  # a busy machine may need several tries until one has reached the model
            assert code == grpc.StatusCode.RESOURCE_EXHAUSTED
        finally:
            model.gate.set()
        while (code := outcome(server)) == grpc.StatusCode.RESOURCE_EXHAUSTED:
            pass  # the place is given back a moment after the gate has opened
        assert code is None


def test_diversity_reorders_and_keeps_scores(server: RankServer, store: SwitchedStore) -> None:
    """Of three wanted items two read alike: the second of them gives way to the odd one out."""
    history = History(store, epoch=2)
    history.items("cola", "cola zero", "soap", texts=[1, 1, 2])
    history.events(*[("eve", "tv", "cola")] * 5, *[("eve", "tv", "cola zero")] * 4, ("eve", "tv", "soap"))
    items = ["soap", "cola zero", "cola"]
    plain, varied = server.rank(request(items=items)), server.rank(request(items=items, diversity=0.5))
    assert order(plain) == ["cola", "cola zero", "soap"]
    assert order(varied) == ["cola", "soap", "cola zero"]
    assert scores(varied) == scores(plain)


def test_what_happens_after_the_start_is_seen(server: RankServer, store: SwitchedStore) -> None:
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


def test_the_first_scenario_ends_the_empty_answers() -> None:
    """A server that started before any data needs no restart."""
    store = SwitchedStore()
    with running(store) as server:
        assert pb.DEGRADATION_REASON_NO_SCENARIOS in reasons(server.rank(request()))
        History(store).scenarios("tv")
        assert pb.DEGRADATION_REASON_NO_SCENARIOS not in reasons(server.rank(request()))


def test_concurrent_requests_get_their_own_answers(server: RankServer) -> None:
    """Users and candidates do not mix in the shared caches."""
    users = ["ann", "bob", "nobody"] * 20
    expected = {user: server.rank(request("", user)) for user in users}
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda user: server.rank(request("", user)), users))
    for user, answer in zip(users, answers, strict=True):
        assert (scores(answer), posterior(answer)) == (scores(expected[user]), posterior(expected[user]))
