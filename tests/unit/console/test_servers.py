"""The console's calls of the servers, on real channels."""

from collections.abc import Iterator

import pytest

from crossrec.events.v1.events_pb2 import BehaviorEvent
from crossrec.ranking.v1.ranking_pb2 import RankRequest
from services.console.servers import ServerCallFailed, ServerConnections
from services.kafka.publisher import MemoryPublisher
from services.load.target import Target
from tests.contract import event_gateway, rank_server

UNREACHABLE = "127.0.0.1:9"
"""The discard port: nothing listens there."""


def servers(ranking: str = UNREACHABLE, gateway: str = UNREACHABLE) -> ServerConnections:
    return ServerConnections(Target(ranking, deadline_s=30), Target(gateway, deadline_s=30))


@pytest.fixture
def running() -> Iterator[ServerConnections]:
    with (
        rank_server.running(rank_server.filled_store()) as ranking,
        event_gateway.running(MemoryPublisher()) as gateway,
    ):
        connections = servers(ranking.built.address, gateway.built.address)
        yield connections
        connections.close()


def test_a_running_system_ranks_stores_and_is_healthy(running: ServerConnections) -> None:
    answer = running.rank(RankRequest(user_id="ann", scenario_id="tv", item_ids=["tea", "dust"]))
    assert ["tea", "dust"] == [item.item_id for item in answer.items]
    event = BehaviorEvent(user_id="ann", scenario_id="tv", type="EVENT_TYPE_CLICK", item_id="tea")
    assert "made" == running.publish(event)
    assert ["SERVING", "SERVING"] == [health.state for health in running.health()]


def test_rejections_are_reported_with_their_reason(running: ServerConnections) -> None:
    with pytest.raises(ServerCallFailed, match=r"ranking server at 127.0.0.1:\d+ rejects the request: user_id"):
        running.rank(RankRequest())
    with pytest.raises(ServerCallFailed, match=r"rejected: behavior_event\.user_id"):
        running.publish(BehaviorEvent(scenario_id="tv"))


def test_unavailable_servers_are_reported() -> None:
    connections = servers()
    with pytest.raises(ServerCallFailed, match=r"The ranking server at 127\.0\.0\.1:9 is unavailable"):
        connections.rank(RankRequest(user_id="ann", item_ids=["tea"]))
    with pytest.raises(ServerCallFailed, match=r"The event gateway at 127\.0\.0\.1:9 is unavailable"):
        connections.publish(BehaviorEvent())
    assert ["unavailable", "unavailable"] == [health.state for health in connections.health()]
    connections.close()
