"""Every way in which an answer of Rank may be degraded, through a real channel; and which cases are errors."""

import grpc
import pytest
from google.rpc.error_details_pb2 import ErrorInfo
from grpc_status import rpc_status

from crossrec.ranking.v1 import ranking_pb2 as pb
from services.store.protocol import StaleSchema, StoreUnavailable
from tests.contract.rank_server import (
    ITEMS,
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

AWAY = {pb.DEGRADATION_REASON_STORE_UNAVAILABLE: 0}


def test_an_unknown_user_is_ranked_by_what_other_users_do(server: RankServer) -> None:
    """The same order, no time of a newest event, and the reason."""
    answer = server.rank(request(user_id="nobody"))
    assert order(answer) == ["tea", "milk", "dust"]
    assert reasons(answer) == {pb.DEGRADATION_REASON_UNKNOWN_USER: 0}
    assert not answer.freshness.HasField("newest_user_event")


def test_unknown_items_are_ranked_by_defaults(server: RankServer) -> None:
    """They are in the answer, behind items with events, and counted."""
    answer = server.rank(request(items=["x", "tea", "y"]))
    assert order(answer) == ["tea", "x", "y"]
    assert reasons(answer) == {pb.DEGRADATION_REASON_UNKNOWN_ITEMS: 2}
    assert "2 of 3 candidates" in answer.degraded[0].detail


def test_items_with_activity_but_no_update_are_said_to_be_that(server: RankServer, store: SwitchedStore) -> None:
    """They are ranked by what users did with them; those without either are counted apart."""
    history = History(store, epoch=2)
    history.events(*[("ann", "tv", "novel")] * 3)
    answer = server.rank(request(items=["x", "tea", "novel"]))
    assert "x" == order(answer)[-1]
    assert reasons(answer) == {
        pb.DEGRADATION_REASON_UNKNOWN_ITEMS: 1,
        pb.DEGRADATION_REASON_UNDESCRIBED_ITEMS: 1,
    }


def test_in_an_unknown_scenario_all_have_equal_weight(server: RankServer) -> None:
    """The answer names the scenario as requested, with equal weights and without posterior."""
    answer = server.rank(request("radio"))
    assert answer.scenario_id == "radio"
    assert len({line.weight for line in answer.transfer_weights}) == 1
    assert reasons(answer) == {pb.DEGRADATION_REASON_UNKNOWN_SCENARIO: 0}
    assert posterior(answer) == {}


def test_a_deleted_scenario_is_neither_source_nor_target(server: RankServer, store: SwitchedStore) -> None:
    """Nor recognised, although the user's events in it remain."""
    assert "shelf" == server.rank(request("")).scenario_id
    History(store, offset=100).delete_scenarios("shelf")
    named, recognised = server.rank(request("shelf")), server.rank(request(""))
    assert reasons(named) == {pb.DEGRADATION_REASON_UNKNOWN_SCENARIO: 0}
    assert [["tv"]] * 2 == [[line.scenario_id for line in answer.transfer_weights] for answer in (named, recognised)]
    assert ("tv", {"tv"}) == (recognised.scenario_id, set(posterior(recognised)))


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
    """Scores of an unknown user stay exactly equal; when the store is back, the user's rows are read again."""
    before = server.rank(request(user_id="nobody"))
    store.failure = StoreUnavailable("away")
    during = server.rank(request())
    assert scores(during) == scores(before)
    assert reasons(during) == {**AWAY, pb.DEGRADATION_REASON_POPULARITY: 0}
    assert not during.freshness.HasField("newest_user_event")
    assert server.rank(request("")).scenario_id in {"shelf", "tv"}
    store.failure = None
    assert reasons(server.rank(request())) == {}


@pytest.mark.parametrize(
    "view", ["scenario_index", "scenario_activity", "user", "user_scenario", "item", "item_scenario_activity"]
)
def test_an_outage_of_any_single_read_is_reported(server: RankServer, store: SwitchedStore, view: str) -> None:
    """A request has several reads, and the store may fail at each; the candidates are all there."""
    server.rank(request())
    store.failure, store.failing_view = StoreUnavailable("away"), view
    answer = server.rank(request())
    assert order(answer) == ["tea", "milk", "dust"]
    popularity = {pb.DEGRADATION_REASON_POPULARITY: 0} if view in {"user", "user_scenario"} else {}
    assert reasons(answer) == {**AWAY, **popularity}


def test_an_outage_serves_the_last_known_rows_of_users(store: SwitchedStore) -> None:
    """As last read, with their age; for a user who was never read the ranking is by popularity."""
    with running(store, user_rows_max_age_s=3600) as server:
        before = server.rank(request(""))
        store.failure = StoreUnavailable("away")
        during = server.rank(request(""))
        assert (scores(during), posterior(during)) == (scores(before), posterior(before))
        assert reasons(during) == {**AWAY, pb.DEGRADATION_REASON_STALE_USER: 0}
        assert during.freshness.user_read_ms > 0 == before.freshness.user_read_ms
        assert during.freshness.newest_user_event == before.freshness.newest_user_event
        assert reasons(server.rank(request(user_id="bob"))) == {**AWAY, pb.DEGRADATION_REASON_POPULARITY: 0}
        store.failure = None
        assert reasons(server.rank(request(""))) == {}


def test_a_user_deleted_in_the_store_is_removed(store: SwitchedStore) -> None:
    """An erasure that was read is not undone by an outage."""
    with running(store, user_rows_max_age_s=3600) as server:
        server.rank(request())
        store.delete(SCHEMA["user"], [("ann",)], (1, 0, 10_000))
        assert reasons(server.rank(request())) == {pb.DEGRADATION_REASON_UNKNOWN_USER: 0}
        store.failure = StoreUnavailable("away")
        assert reasons(server.rank(request())) == {**AWAY, pb.DEGRADATION_REASON_POPULARITY: 0}


def test_a_user_read_as_absent_is_unknown_whatever_else_fails(server: RankServer, store: SwitchedStore) -> None:
    """The store reported it before it failed."""
    server.rank(request())
    store.failure, store.failing_view = StoreUnavailable("away"), "item"
    assert reasons(server.rank(request(user_id="nobody"))) == {
        pb.DEGRADATION_REASON_STORE_UNAVAILABLE: 0,
        pb.DEGRADATION_REASON_UNKNOWN_USER: 0,
    }


def test_items_never_read_before_an_outage_have_defaults(server: RankServer, store: SwitchedStore) -> None:
    """Both reasons; once the store is back they are read immediately, not when they have aged."""
    server.rank(request(items=["tea"]))
    store.failure = StoreUnavailable("away")
    answer = server.rank(request(items=["milk", "tea"]))
    assert order(answer) == ["tea", "milk"]
    assert reasons(answer) == {
        **AWAY,
        pb.DEGRADATION_REASON_POPULARITY: 0,
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
    """They cannot be read as these features: an error reports it, and memory is not used."""
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


def test_the_first_scenario_ends_the_empty_answers() -> None:
    """A server that started before any data needs no restart."""
    store = SwitchedStore()
    with running(store) as server:
        assert pb.DEGRADATION_REASON_NO_SCENARIOS in reasons(server.rank(request()))
        History(store).scenarios("tv")
        assert pb.DEGRADATION_REASON_NO_SCENARIOS not in reasons(server.rank(request()))
