"""The servers as the console asks them, on real channels."""

from collections.abc import Iterator

import pytest

from crossrec.events.v1.events_pb2 import BehaviorEvent
from crossrec.ranking.v1.ranking_pb2 import RankRequest
from services.console.servers import CallFailed, Servers
from services.kafka.publisher import MemoryPublisher
from services.load.target import Target
from tests.contract import event_gateway, rank_server

NOBODY = "127.0.0.1:9"
"""The discard port: nothing listens there."""


def servers(ranking: str = NOBODY, gateway: str = NOBODY) -> Servers:
    return Servers(Target(ranking, deadline_s=30), Target(gateway, deadline_s=30))


@pytest.fixture
def running() -> Iterator[Servers]:
    with (
        rank_server.running(rank_server.filled_store()) as ranking,
        event_gateway.running(MemoryPublisher()) as gateway,
    ):
        asked = servers(ranking.built.address, gateway.built.address)
        yield asked
        asked.close()


def test_a_running_system_ranks_stores_and_is_healthy(running: Servers) -> None:
    answer = running.rank(RankRequest(user_id="ann", scenario_id="tv", item_ids=["tea", "dust"]))
    assert ["tea", "dust"] == [item.item_id for item in answer.items]
    event = BehaviorEvent(user_id="ann", scenario_id="tv", type="EVENT_TYPE_CLICK", item_id="tea")
    assert "made" == running.publish(event)
    assert ["SERVING", "SERVING"] == [health.state for health in running.health()]


def test_what_the_servers_refuse_is_said_with_its_reason(running: Servers) -> None:
    with pytest.raises(CallFailed, match=r"ranking server at 127.0.0.1:\d+ refuses the request: user_id"):
        running.rank(RankRequest())
    with pytest.raises(CallFailed, match=r"rejected: behavior_event\.user_id"):
        running.publish(BehaviorEvent(scenario_id="tv"))


def test_servers_that_are_away_are_said_to_be() -> None:
    asked = servers()
    with pytest.raises(CallFailed, match=r"The ranking server at 127\.0\.0\.1:9 is away"):
        asked.rank(RankRequest(user_id="ann", item_ids=["tea"]))
    with pytest.raises(CallFailed, match=r"The event gateway at 127\.0\.0\.1:9 is away"):
        asked.publish(BehaviorEvent())
    assert ["away", "away"] == [health.state for health in asked.health()]
    asked.close()
