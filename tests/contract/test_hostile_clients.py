"""Clients that begin calls and then neither send nor take anything: others are served as if they were not there."""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from crossrec.events.v1.events_pb2 import Entry, PublishRequest, ScenarioUpdate
from crossrec.events.v1.events_pb2_grpc import EventServiceStub
from services.kafka.publisher import MemoryPublisher
from services.server.grpc_server import BoundServer
from services.server.health_service import MOST_WATCHES_PER_CLIENT
from services.server.security.caller import Scope
from services.server.security.protection import UNPROTECTED, Protection, open_protection
from tests.contract import event_gateway, rank_server, secured
from tests.contract.hostile import CHECK, PUBLISH, RANK, REFLECTION, STREAM, WATCH, hostile
from tests.contract.rank_server import request
from tests.contract.secured import bearer
from tests.http2 import message
from tests.waiting import wait_until

ONE = PublishRequest(entries=[Entry(scenario_update=ScenarioUpdate(scenario_id="tv"))])
OWN = [("grpc.use_local_subchannel_pool", 1)]

SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING

Ask = Callable[[], object]
"""A call of a client that behaves; raises if it is not served."""


def served(address: str, ask: Callable[[grpc.Channel], object]) -> None:
    """Calls on a connection of their own are served, and so is health."""
    with grpc.insecure_channel(address, OWN) as channel:
        for _ in range(20):
            ask(channel)
        health = health_pb2_grpc.HealthStub(channel)
        assert SERVING == health.Check(health_pb2.HealthCheckRequest(), timeout=60).status


def answered(address: str, ask: Callable[[grpc.Channel], object]) -> bool:
    """Whether a call is answered; False if the server has too many."""
    with grpc.insecure_channel(address, OWN) as channel:
        try:
            ask(channel)
        except grpc.RpcError as error:
            assert grpc.StatusCode.RESOURCE_EXHAUSTED == error.code(), error
            return False
    return True


def checked(channel: grpc.Channel) -> int:
    """The status of the server."""
    return int(health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=60).status)


def rank(channel: grpc.Channel, *metadata: tuple[str, str]) -> object:
    return rank_server.RankingServiceStub(channel).Rank(request(), timeout=60, metadata=metadata)


def publish(channel: grpc.Channel, *metadata: tuple[str, str]) -> object:
    return EventServiceStub(channel).Publish(ONE, timeout=60, metadata=metadata)


@contextmanager
def ranking(protection: Protection = UNPROTECTED) -> Iterator[BoundServer]:
    with rank_server.running(rank_server.filled_store(), protection=protection) as server:
        yield server.built


@contextmanager
def gateway(protection: Protection = UNPROTECTED) -> Iterator[BoundServer]:
    with event_gateway.running(MemoryPublisher(), protection=protection) as server:
        yield server.built


SERVERS = {"ranking": (ranking, rank, RANK), "gateway": (gateway, publish, PUBLISH)}
LONG = replace(UNPROTECTED, message_timeout_s=3600.0)
"""Waits for messages end in favour of others only."""


@pytest.mark.parametrize("kind", SERVERS)
@pytest.mark.parametrize("held", ["own", CHECK, WATCH, REFLECTION])
def test_calls_that_hold_their_message_back_stop_nobody(kind: str, held: str) -> None:
    """They are more than the server has threads; the oldest of who has most of them end."""
    serve, ask, own = SERVERS[kind]
    with serve(LONG) as built, hostile(built.address, 10) as connections:
        for each in connections:
            each.begin(own if held == "own" else held, calls=100)
        served(built.address, ask)
        wait_until(lambda: any(each.ended for each in connections))


class Slow(grpc.ServerInterceptor):  # type: ignore[misc]
    """Calls come to Python slowly."""

    def intercept_service(self, continuation: Any, handler_call_details: Any) -> Any:
        threading.Event().wait(0.002)
        return continuation(handler_call_details)


def test_of_a_burst_of_calls_none_is_cancelled() -> None:
    """Of more than 1,000 calls that Python has not asked for yet, gRPC would cancel some at random."""
    with ranking(replace(LONG, interceptors=(Slow(),))) as built, ExitStack() as opened:
        channels = [opened.enter_context(grpc.insecure_channel(built.address, OWN)) for _ in range(30)]
        stubs = [rank_server.RankingServiceStub(channel) for channel in channels]
        calls = [stub.Rank.future(request(), timeout=60) for _ in range(60) for stub in stubs]
        assert {call.code() for call in calls} <= {grpc.StatusCode.OK, grpc.StatusCode.RESOURCE_EXHAUSTED}


@pytest.mark.parametrize("kind", SERVERS)
def test_a_message_that_never_comes_ends_its_call(kind: str) -> None:
    """After the time limit, whether there is room or not, and whether nothing has arrived or a part."""
    serve, _, own = SERVERS[kind]
    with serve(replace(UNPROTECTED, message_timeout_s=0.2)) as built, hostile(built.address, 1) as (connection,):
        connection.begin(own)
        connection.begin(own, b"\x00\x00\x00\x00\x05ab")
        connection.begin(CHECK)
        connection.begin(REFLECTION)
        connection.wait_ended(4)


@pytest.mark.parametrize("kind", SERVERS)
def test_watches_are_bounded_and_stop_nobody(kind: str) -> None:
    """Most for a client, over all its connections; a watch that is over makes room for another."""
    serve, ask, _ = SERVERS[kind]
    with serve() as built:
        with hostile(built.address, 10) as connections:
            for each in connections:
                each.begin(WATCH, message(b""), calls=50)
            wait_until(lambda: sum(len(each.ended) for each in connections) == 500 - MOST_WATCHES_PER_CLIENT)
            assert MOST_WATCHES_PER_CLIENT == len(built.health)
            served(built.address, ask)
        wait_until(lambda: not len(built.health))
        with grpc.insecure_channel(built.address, OWN) as channel:
            watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(), timeout=60)
            assert SERVING == next(watch).status


@pytest.mark.parametrize("kind", SERVERS)
def test_watches_that_take_no_status_do_not_silence_health(kind: str) -> None:
    """A status is set while they take nothing, and others learn of it."""
    serve, ask, _ = SERVERS[kind]
    with serve() as built, hostile(built.address, 4, window=0) as connections:
        for each in connections:
            each.begin(WATCH, message(b""), calls=10)
        served(built.address, ask)
        with grpc.insecure_channel(built.address, OWN) as channel:
            stub = health_pb2_grpc.HealthStub(channel)
            watch = stub.Watch(health_pb2.HealthCheckRequest(), timeout=60)
            assert SERVING == next(watch).status
            built.health.set("", NOT_SERVING)
            assert NOT_SERVING == next(watch).status
            assert NOT_SERVING == checked(channel)


@pytest.mark.parametrize("kind", SERVERS)
def test_answers_that_nobody_takes_stop_nobody(kind: str) -> None:
    """Once those calls are answered: they are more than the server admits at once, and more than it keeps."""
    serve, ask, own = SERVERS[kind]
    body = request().SerializeToString() if kind == "ranking" else ONE.SerializeToString()
    with serve() as built, hostile(built.address, 10, window=0) as connections:
        for each in connections:
            each.begin(own, message(body), calls=80)
        wait_until(lambda: all(answered(built.address, ask) for _ in range(20)))  # theirs are answered
        served(built.address, ask)


def test_streams_that_take_nothing_leave_batches_alone() -> None:
    """Their number is bounded."""
    stream = message(b"\x08\x01" + b"\x12\x00" * 100)
    with gateway() as built, hostile(built.address, 5, window=0) as connections:
        for each in connections:
            each.begin(STREAM, stream, calls=10)
        served(built.address, publish)


def test_holders_of_a_token_stop_no_other_token(tmp_path: Path) -> None:
    """Whatever they hold back, and on however many connections."""
    tokens = secured.listed(tmp_path / "tokens", shop=frozenset(Scope), app=frozenset(Scope))
    protection = replace(open_protection(secured.settings(tmp_path)), message_timeout_s=3600.0)
    app = bearer(tokens["app"])
    with ranking(protection) as built, hostile(built.address, 32, metadata=bearer(tokens["shop"])) as connections:
        for each in connections:
            each.begin(RANK, calls=50)
        served(built.address, lambda channel: rank(channel, *app))
    with gateway(protection) as built, hostile(built.address, 32, metadata=bearer(tokens["shop"])) as connections:
        for each in connections:
            each.begin(PUBLISH, calls=25)
            each.begin(STREAM, calls=25)
        served(built.address, lambda channel: publish(channel, *app))


def test_the_address_for_probes_answers_health_alone() -> None:
    """Whoever shares the network namespace could otherwise call without TLS."""
    with ranking() as built, grpc.insecure_channel(built.probe_address) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        assert SERVING == health.Check(health_pb2.HealthCheckRequest(), timeout=60).status
        with pytest.raises(grpc.RpcError) as caught:
            rank(channel)
        assert grpc.StatusCode.PERMISSION_DENIED == caught.value.code()
