"""The servers as the console asks them: gRPC calls with deadlines, and what to say when one does not answer."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from crossrec.events.v1 import events_pb2, events_pb2_grpc
from crossrec.ranking.v1 import ranking_pb2, ranking_pb2_grpc
from services.client.channel import open_channel
from services.errors import CrossRecError
from services.load.target import Target

WORDS = {
    grpc.StatusCode.UNAVAILABLE: "is away",
    grpc.StatusCode.UNAUTHENTICATED: "does not accept the token (--server-token-file)",
    grpc.StatusCode.PERMISSION_DENIED: "does not allow this with the token (--server-token-file)",
    grpc.StatusCode.INVALID_ARGUMENT: "refuses the request",
    grpc.StatusCode.RESOURCE_EXHAUSTED: "has too much to do",
}

T = TypeVar("T")


class CallFailed(CrossRecError):
    """A server did not do what it was asked; the text says which one and why."""


@dataclass(frozen=True)
class Health:
    """How a server answers the standard health check.

    Args:
        name: which server.
        address: host:port.
        state: SERVING, NOT_SERVING, or "away".
        detail: why, if it is away.
        took_ms: until the answer, milliseconds.
    """

    name: str
    address: str
    state: str
    detail: str
    took_ms: float


class Server:
    """A gRPC server; connects at the first call. Safe between threads; its calls block.

    Args:
        name: what to call it.
        target: how to reach it.
    """

    def __init__(self, name: str, target: Target) -> None:
        self.name, self.target = name, target
        self.channel = open_channel(target.address, target.tls)

    def call(self, method: Callable[..., T], request: Any) -> T:
        """One call with the deadline; raises CallFailed."""
        try:
            return method(request, timeout=self.target.deadline_s, metadata=self.target.metadata)
        except grpc.RpcError as error:
            raise CallFailed(self.said(error.code(), error.details() or "")) from error

    def said(self, code: grpc.StatusCode, details: str) -> str:
        """A failure in words."""
        if code is grpc.StatusCode.DEADLINE_EXCEEDED:
            words = f"did not answer within {self.target.deadline_s:g} s"
        else:
            words = WORDS.get(code, f"answers {code.name}")
        return f"The {self.name} at {self.target.address} {words}: {details}"

    def health(self) -> Health:
        """What the standard health check says; never raises CallFailed."""
        begun_s = time.perf_counter()
        try:
            stub = health_pb2_grpc.HealthStub(self.channel)
            reply = self.call(stub.Check, health_pb2.HealthCheckRequest())  # type: ignore[attr-defined]
            state, detail = health_pb2.HealthCheckResponse.ServingStatus.Name(reply.status), ""
        except CallFailed as error:
            state, detail = "away", str(error)
        return Health(self.name, self.target.address, state, detail, (time.perf_counter() - begun_s) * 1000)

    def close(self) -> None:
        """Let go of the connection."""
        self.channel.close()


class Servers:
    """Both servers.

    Args:
        ranking: how to reach the ranking server.
        gateway: how to reach the event gateway.
    """

    def __init__(self, ranking: Target, gateway: Target) -> None:
        self.ranking, self.gateway = Server("ranking server", ranking), Server("event gateway", gateway)
        self._rank = ranking_pb2_grpc.RankingServiceStub(self.ranking.channel).Rank  # type: ignore[no-untyped-call]
        events = events_pb2_grpc.EventServiceStub(self.gateway.channel)  # type: ignore[no-untyped-call]
        self._publish = events.Publish

    def rank(self, request: ranking_pb2.RankRequest) -> ranking_pb2.RankResponse:
        """Rank; raises CallFailed."""
        answer: ranking_pb2.RankResponse = self.ranking.call(self._rank, request)
        return answer

    def publish(self, event: events_pb2.BehaviorEvent) -> str:
        """Publish one event and return its id; raises CallFailed, also if the gateway rejects it."""
        request = events_pb2.PublishRequest(entries=[events_pb2.Entry(behavior_event=event)])
        reply: events_pb2.PublishResponse = self.gateway.call(self._publish, request)
        (result,) = reply.results
        if result.WhichOneof("result") != "accepted":
            raise CallFailed(f"The event is rejected: {result.rejected.field}: {result.rejected.reason}")
        return result.accepted.event_id

    def health(self) -> list[Health]:
        """Of both."""
        return [self.ranking.health(), self.gateway.health()]

    def close(self) -> None:
        """Let go of the connections."""
        self.ranking.close()
        self.gateway.close()
