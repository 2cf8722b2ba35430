"""Servers whose ports receive arbitrary connections: they keep serving, and no resource leaks."""

from collections.abc import Callable
from pathlib import Path

import grpc
import pytest

from crossrec.events.v1.events_pb2 import Entry, PublishRequest, ScenarioUpdate
from crossrec.events.v1.events_pb2_grpc import EventServiceStub
from crossrec.ranking.v1.ranking_pb2_grpc import RankingServiceStub
from tests.contract.lone_server import LoneServer, lone_server
from tests.contract.rank_server import request, scores
from tests.contract.strange_connections import connect_strangely
from tests.waiting import wait_until

FIRST_SEED, CONNECTIONS, WARM_UP = 0, 5_000, 1_000
GROWTH_MIB = 32.0
"""By how much the server's memory after the connections may exceed that after the warm-up. Some connections open
hundreds of calls, and what the most calls at one time took stays with the process; it does not grow with their number.
"""

MOST_THREADS = 400
"""The pools of the ranking server have 260 and 80, which are started when they are needed: for requests, for messages
that are waited for, and for health; gRPC itself and numpy have some more."""


Ask = Callable[[str], object]
"""Sends a valid call to the server of an address."""


def ranked(address: str) -> object:
    """The ranking server's answer to a valid request."""
    with grpc.insecure_channel(address, [("grpc.use_local_subchannel_pool", 1)]) as channel:
        return scores(RankingServiceStub(channel).Rank(request(), timeout=300))


def published(address: str) -> object:
    """The gateway's answer to a valid entry."""
    entry = Entry(scenario_update=ScenarioUpdate(scenario_id="tv"))
    entry.scenario_update.time.FromSeconds(1_800_000_000)
    with grpc.insecure_channel(address, [("grpc.use_local_subchannel_pool", 1)]) as channel:
        answer = EventServiceStub(channel).Publish(PublishRequest(entries=[entry]), timeout=300)
    return [result.WhichOneof("result") for result in answer.results]


BUSY = {grpc.StatusCode.CANCELLED, grpc.StatusCode.RESOURCE_EXHAUSTED}
"""gRPC's codes while thousands of abandoned calls are still queued before the request."""


@pytest.mark.parametrize(("kind", "ask"), [("ranking", ranked), ("gateway", published)])
def test_five_thousand_strange_connections_leave_nothing_behind(kind: str, ask: Ask, tmp_path: Path) -> None:
    """A valid request has the same answer afterwards; memory is flat, descriptors and threads are released."""
    with lone_server(kind, tmp_path) as server:
        expected, descriptors = ask(server.address), server.descriptors
        connect_and_wait(server, ask, range(FIRST_SEED, FIRST_SEED + WARM_UP), descriptors)
        memory_mib = server.memory_mib
        connect_and_wait(server, ask, range(FIRST_SEED + WARM_UP, FIRST_SEED + CONNECTIONS), descriptors)
        assert expected == ask(server.address) != []
        assert server.threads <= MOST_THREADS
        assert server.memory_mib <= memory_mib + GROWTH_MIB
        assert "Traceback" not in server.log.read_text(errors="replace")  # gRPC logs the bytes that it receives


def connect_and_wait(server: LoneServer, ask: Ask, seeds: range, descriptors: int) -> None:
    """Make the connections, and wait until the server has closed them: it answers, with no more descriptors."""
    connect_strangely(server.address, seeds)
    wait_until(lambda: answers(server, ask) and server.descriptors <= descriptors)


def answers(server: LoneServer, ask: Ask) -> bool:
    """Whether the server answers; False while it is busy."""
    try:
        ask(server.address)
    except grpc.RpcError as error:
        assert error.code() in BUSY, error
        return False
    return True
