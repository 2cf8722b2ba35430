"""Every RPC, with every kind of token, over every kind of connection: exactly the permitted ones pass."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc.error_details_pb2 import ErrorInfo
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from grpc_status import rpc_status

from crossrec.events.v1.events_pb2 import Entry, PublishRequest, PublishStreamRequest, ScenarioUpdate
from crossrec.events.v1.events_pb2_grpc import EventServiceStub
from crossrec.ranking.v1.ranking_pb2_grpc import RankingServiceStub
from services.gateway.batch import SCOPE_OF_KIND
from services.server.security.caller import Scope
from tests.contract import secured
from tests.contract.rank_server import request
from tests.contract.secured import NO_CERTIFICATE, TRANSPORTS, Servers, bearer
from tests.unit.server.security.signing import claims, sign_token

TIMEOUT_S = 300
OK = "OK"
ENTRY = Entry(scenario_update=ScenarioUpdate(scenario_id="tv"))
Metadata = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Rpc:
    """A method as a client calls it.

    Args:
        call: calls it, and returns when it has succeeded.
        scope: what it needs; None: nothing. Publish and PublishStream take a call with any scope of entries, and
            judge each entry (`test_access_entries`).
        writes: records that are stored when it passes.
    """

    call: Callable[[Servers, Metadata], object]
    scope: Scope | None
    writes: int = 0


def rank(servers: Servers, metadata: Metadata) -> object:
    return RankingServiceStub(servers.to_ranking).Rank(request(), timeout=TIMEOUT_S, metadata=metadata)


def publish(servers: Servers, metadata: Metadata) -> object:
    asked = PublishRequest(entries=[ENTRY])
    return EventServiceStub(servers.to_gateway).Publish(asked, timeout=TIMEOUT_S, metadata=metadata)


def publish_stream(servers: Servers, metadata: Metadata) -> object:
    asked = iter([PublishStreamRequest(sequence=1, entries=[ENTRY])])
    return list(EventServiceStub(servers.to_gateway).PublishStream(asked, timeout=TIMEOUT_S, metadata=metadata))


def health(channel: grpc.Channel, metadata: Metadata) -> object:
    asked = health_pb2.HealthCheckRequest()
    return health_pb2_grpc.HealthStub(channel).Check(asked, timeout=TIMEOUT_S, metadata=metadata)


def reflect(channel: grpc.Channel, metadata: Metadata) -> object:
    asked = iter([reflection_pb2.ServerReflectionRequest(list_services="")])
    stub = reflection_pb2_grpc.ServerReflectionStub(channel)
    return list(stub.ServerReflectionInfo(asked, timeout=TIMEOUT_S, metadata=metadata))


RPCS = {
    "Rank": Rpc(rank, Scope.RANK),
    "Publish": Rpc(publish, Scope.CATALOGUE, writes=1),
    "PublishStream": Rpc(publish_stream, Scope.CATALOGUE, writes=1),
    "health of gateway": Rpc(lambda servers, metadata: health(servers.to_gateway, metadata), None),
    "health of ranking": Rpc(lambda servers, metadata: health(servers.to_ranking, metadata), None),
    "reflection of gateway": Rpc(lambda servers, metadata: reflect(servers.to_gateway, metadata), Scope.ADMIN),
    "reflection of ranking": Rpc(lambda servers, metadata: reflect(servers.to_ranking, metadata), Scope.ADMIN),
}
CALLERS = {
    "no token": "UNAUTHENTICATED",
    "wrong scheme": "UNAUTHENTICATED",
    "garbage": "UNAUTHENTICATED",
    "unknown token": "UNAUTHENTICATED",
    "expired token": "TOKEN_EXPIRED",
    "wrong token": "PERMISSION_DENIED",
    "right token": OK,
    "garbled JWT": "UNAUTHENTICATED",
    "JWT for others": "UNAUTHENTICATED",
    "expired JWT": "TOKEN_EXPIRED",
    "wrong JWT": "PERMISSION_DENIED",
    "JWT without scope": "PERMISSION_DENIED",
    "right JWT": OK,
}
"""Kinds of callers, and the reason with which they are refused, or OK."""


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """A folder with the file of tokens, and tokens by scope and kind."""
    folder = tmp_path_factory.mktemp("access")
    scopes: dict[str, Any] = {}
    for scope in Scope:
        scopes[f"right_{scope}"] = frozenset({scope})
        scopes[f"wrong_{scope}"] = others(scope)
        scopes[f"expired_{scope}"] = (frozenset(Scope), secured.PAST)
    return folder, secured.listed(folder / "tokens", **scopes)


@pytest.fixture(scope="module", params=TRANSPORTS)
def servers(request: pytest.FixtureRequest, tokens: tuple[Path, dict[str, str]]) -> Iterator[tuple[str, Servers]]:
    """Both servers over one kind of connection."""
    with secured.running(secured.settings(tokens[0], request.param), request.param) as running:
        yield request.param, running


def others(scope: Scope) -> frozenset[Scope]:
    """The scopes that do not open the services that `scope` opens."""
    entries = frozenset(SCOPE_OF_KIND.values())
    return frozenset(Scope) - (entries if scope in entries else {scope})


def metadata_of(caller: str, scope: Scope, tokens: dict[str, str]) -> Metadata:
    right = tokens[f"right_{scope}"]
    return {
        "no token": lambda: (),
        "wrong scheme": lambda: (("authorization", f"Basic {right}"),),
        "garbage": lambda: bearer("\x7e" * 500),
        "unknown token": lambda: bearer("crossrec_" + "x" * 43),
        "expired token": lambda: bearer(tokens[f"expired_{scope}"]),
        "wrong token": lambda: bearer(tokens[f"wrong_{scope}"]),
        "right token": lambda: bearer(right),
        "garbled JWT": lambda: bearer(sign_token(claims(scope))[:-8] + "AAAAAAAA"),
        "JWT for others": lambda: bearer(sign_token(claims(scope, aud="others"))),
        "expired JWT": lambda: bearer(sign_token(claims(scope, expires_in_s=-60))),
        "wrong JWT": lambda: bearer(sign_token(claims(" ".join(others(scope))))),
        "JWT without scope": lambda: bearer(sign_token(claims(scope=None))),
        "right JWT": lambda: bearer(sign_token(claims(f"openid {scope}"))),
    }[caller]()


def outcome(call: Callable[[], object]) -> tuple[str, str]:
    """Code and reason with which a call ends."""
    try:
        call()
    except grpc.RpcError as error:
        status, info = rpc_status.from_call(error), ErrorInfo()
        if status is None:
            return error.code().name, ""
        status.details[0].Unpack(info)
        return error.code().name, info.reason
    return OK, OK


def expected(transport: str, rpc: Rpc, caller: str) -> tuple[str, str]:
    reason = OK if rpc.scope is None else CALLERS[caller]
    if transport == NO_CERTIFICATE:
        return "UNAVAILABLE", ""
    return "UNAUTHENTICATED" if reason == "TOKEN_EXPIRED" else reason, reason


@pytest.mark.parametrize("caller", CALLERS)
@pytest.mark.parametrize("name", RPCS)
def test_exactly_the_permitted_callers_pass(
    servers: tuple[str, Servers], tokens: tuple[Path, dict[str, str]], name: str, caller: str
) -> None:
    """The others get a reason or fail the handshake, and nothing is written."""
    transport, running = servers
    rpc, before = RPCS[name], running.stored
    metadata = metadata_of(caller, rpc.scope or Scope.ADMIN, tokens[1])
    found = outcome(lambda: rpc.call(running, metadata))
    assert expected(transport, rpc, caller) == found
    assert rpc.writes * (found == (OK, OK)) == running.stored - before
