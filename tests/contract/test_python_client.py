"""The Python clients against real servers, and against servers in trouble; every test for both kinds."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1.health_pb2 import HealthCheckResponse

from crossrec.events.v1.events_pb2 import Entry, PublishRequest, ScenarioUpdate
from services.client import AccessDenied, DeadlineExceeded, InvalidArgument, ResourceExhausted, ServiceUnavailable, tls
from services.client.service_config import EVENT_SERVICE, PUBLISH_RETRIES, RANK_RETRIES
from services.kafka.publisher import MemoryPublisher
from tests.contract import event_gateway, front, python_clients
from tests.contract.certificate_files import AuthorityInFiles
from tests.contract.event_gateway import Gateway
from tests.contract.rank_server import ITEMS, RankServer, order, request

TOKEN = "token of a test"  # noqa: S105
PUSHBACK = "grpc-retry-pushback-ms"


@pytest.fixture(params=["sync", "async"])
def clients(request: pytest.FixtureRequest) -> Iterator[Any]:
    with python_clients.client_factory(request.param) as clients:
        yield clients


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    with event_gateway.running(MemoryPublisher()) as gateway:
        yield gateway


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> AuthorityInFiles:
    return AuthorityInFiles(tmp_path_factory.mktemp("ours"))


def scenario(name: str, **values: str) -> Entry:
    return Entry(scenario_update=ScenarioUpdate(scenario_id=name, **values))


def event_ids(tried: front.Seen) -> list[str]:
    return [entry.scenario_update.event_id for entry in PublishRequest.FromString(tried.request).entries]


def test_rank_returns_the_answer_of_the_server(server: RankServer, clients: Any) -> None:
    """Explanations on request."""
    with clients.ranking(server.built.address, deadline_s=300) as ranking:
        answer = ranking.rank("ann", ITEMS, scenario_id="tv", explain=True)
    expected = server.rank(request(explain=True))
    assert order(expected) == order(answer)
    assert list(expected.items) == list(answer.items)


def test_publish_returns_a_result_for_each_entry(gateway: Gateway, clients: Any) -> None:
    """In order; an entry without an id gets one before it is sent."""
    entries = [scenario("tv"), scenario(""), scenario("shelf", event_id="e3")]
    with clients.events(gateway.built.address) as events:
        accepted, rejected, named = events.publish(entries)
    assert entries[0].scenario_update.event_id == accepted.accepted.event_id != ""
    assert "scenario_update.scenario_id" == rejected.rejected.field
    assert "e3" == named.accepted.event_id


def test_a_batch_to_an_unavailable_server_is_retried_with_the_same_ids(gateway: Gateway, clients: Any) -> None:
    with front.serving(gateway.built.address) as before, clients.events(before.address) as events:
        before.fail("Publish", grpc.StatusCode.UNAVAILABLE, PUBLISH_RETRIES["maxAttempts"] - 1)
        results = events.publish([scenario("tv"), scenario("shelf")])
    ids = [result.accepted.event_id for result in results]
    assert [ids] * PUBLISH_RETRIES["maxAttempts"] == [event_ids(tried) for tried in before.tries("Publish")]


def test_calls_to_an_unavailable_ranking_server_are_retried_up_to_the_limit(clients: Any) -> None:
    with front.serving() as before, clients.ranking(before.address, deadline_s=300) as ranking:
        before.fail("Rank", grpc.StatusCode.UNAVAILABLE, 100)
        with pytest.raises(ServiceUnavailable, match="UNAVAILABLE: a fault of this test"):
            ranking.rank("ann", ITEMS)
    assert RANK_RETRIES["maxAttempts"] == len(before.tries("Rank"))


def test_a_full_server_sets_the_retry_delay(server: RankServer, clients: Any) -> None:
    """The client retries after the delay; a negative delay forbids a retry."""
    with front.serving(server.built.address) as before, clients.ranking(before.address, deadline_s=300) as ranking:
        before.fail("Rank", grpc.StatusCode.RESOURCE_EXHAUSTED, 2, (PUSHBACK, "1"))
        assert sorted(ITEMS) == sorted(order(ranking.rank("ann", ITEMS)))
        assert 3 == len(before.tries("Rank"))
        before.fail("Rank", grpc.StatusCode.RESOURCE_EXHAUSTED, 1, (PUSHBACK, "-1"))
        with pytest.raises(ResourceExhausted):
            ranking.rank("ann", ITEMS)
        assert 4 == len(before.tries("Rank"))


def test_the_error_after_the_last_retry_has_the_retry_delay(clients: Any) -> None:
    with front.serving() as before, clients.events(before.address) as events:
        before.fail("Publish", grpc.StatusCode.RESOURCE_EXHAUSTED, 10, (PUSHBACK, "7"))
        with pytest.raises(ResourceExhausted) as caught:
            events.publish([scenario("tv")])
    assert 0.007 == caught.value.retry_after_s


def test_an_invalid_request_is_not_retried(server: RankServer, clients: Any) -> None:
    """The text names the field, and the reason is the server's."""
    with (
        front.serving(server.built.address) as before,
        clients.ranking(before.address, deadline_s=300) as ranking,
        pytest.raises(InvalidArgument, match="INVALID_ARGUMENT: item_ids") as caught,
    ):
        ranking.rank("ann", [])
    assert "INVALID_REQUEST" == caught.value.reason
    assert caught.value.retry_after_s is None
    assert 1 == len(before.tries("Rank"))


def test_the_deadline_ends_a_call_without_an_answer(clients: Any) -> None:
    with (
        front.black_hole() as address,
        clients.ranking(address, deadline_s=0.2) as ranking,
        pytest.raises(DeadlineExceeded),
    ):
        ranking.rank("ann", ITEMS)


def test_a_token_is_sent_over_tls(server: RankServer, authority: AuthorityInFiles, clients: Any) -> None:
    credentials, ours = authority.server_credentials(), tls(ca=authority.file)
    with front.serving(server.built.address, TOKEN, credentials) as before:
        with clients.ranking(before.address, credentials=ours, token=lambda: TOKEN, deadline_s=300) as ranking:
            assert sorted(ITEMS) == sorted(order(ranking.rank("ann", ITEMS)))
        with (
            clients.ranking(before.address, credentials=ours, token=f"not {TOKEN}", deadline_s=300) as ranking,
            pytest.raises(AccessDenied, match="UNAUTHENTICATED"),
        ):
            ranking.rank("ann", ITEMS)


def test_a_token_is_sent_without_tls_on_loopback(gateway: Gateway, clients: Any) -> None:
    """With batches and with streams."""
    with front.serving(gateway.built.address, TOKEN) as before, clients.events(before.address, token=TOKEN) as events:
        assert events.publish([scenario("tv")])[0].HasField("accepted")
        with events.stream() as stream:
            assert stream.publish(scenario("tv")).result()[0].HasField("accepted")


def test_a_server_of_another_authority_is_not_called(authority: AuthorityInFiles, clients: Any, tmp_path: Path) -> None:
    """The token does not reach it."""
    with front.serving(credentials=AuthorityInFiles(tmp_path).server_credentials()) as before:
        ours = tls(ca=authority.file)
        with (
            clients.ranking(before.address, credentials=ours, token=TOKEN, deadline_s=300) as ranking,
            pytest.raises(ServiceUnavailable),
        ):
            ranking.rank("ann", ITEMS)
    assert [] == before.seen


def test_a_server_may_require_a_client_certificate(
    server: RankServer, authority: AuthorityInFiles, clients: Any
) -> None:
    mine = authority.sign("client")
    known = tls(authority.file, mine.certificate, mine.key)
    with front.serving(server.built.address, credentials=authority.server_credentials(mutual=True)) as before:
        with clients.ranking(before.address, credentials=known, deadline_s=300) as ranking:
            assert sorted(ITEMS) == sorted(order(ranking.rank("ann", ITEMS)))
        with (
            clients.ranking(before.address, credentials=tls(ca=authority.file), deadline_s=300) as ranking,
            pytest.raises(ServiceUnavailable),
        ):
            ranking.rank("ann", ITEMS)


def test_calls_go_to_the_healthy_servers(gateway: Gateway, clients: Any) -> None:
    """Of two addresses the healthy one gets all calls, the other none until it is healthy, too."""
    with event_gateway.running(MemoryPublisher()) as other:
        other.built.health.set(EVENT_SERVICE, HealthCheckResponse.NOT_SERVING)
        both = f"ipv4:{gateway.built.address},{other.built.address}"
        with clients.events(both) as events:
            for _ in range(6):
                events.publish([scenario("tv")])
            assert (6, 0) == (len(gateway.publisher.stored), len(other.publisher.stored))
            other.built.health.set(EVENT_SERVICE, HealthCheckResponse.SERVING)
            while not other.publisher.stored:
                events.publish([scenario("tv")])


def test_calls_are_spread_over_connections(server: RankServer, clients: Any) -> None:
    """So workers that share a port all get calls."""
    with (
        front.serving(server.built.address) as before,
        clients.ranking(before.address, deadline_s=300, connections=3) as ranking,
    ):
        for _ in range(3):
            ranking.rank("ann", ITEMS)
    assert 3 == len({seen.peer for seen in before.tries("Rank")})
