"""The console's connections to the servers: gRPC calls with deadlines, and error texts for people."""

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

FAILURES = {
    grpc.StatusCode.UNAVAILABLE: "is unavailable",
    grpc.StatusCode.UNAUTHENTICATED: "does not accept the token (--server-token-file)",
    grpc.StatusCode.PERMISSION_DENIED: "does not allow this with the token (--server-token-file)",
    grpc.StatusCode.INVALID_ARGUMENT: "rejects the request",
    grpc.StatusCode.RESOURCE_EXHAUSTED: "is overloaded",
}

T = TypeVar("T")


class ServerCallFailed(CrossRecError):
    """A call of a server failed; the text names the server and the reason."""


@dataclass(frozen=True)
class ServerHealth:
    """The answer of a server to the standard health check.

    Args:
        name: which server.
        address: host:port.
        state: SERVING, NOT_SERVING, or "unavailable".
        detail: the reason, if it is unavailable.
        took_ms: duration of the check, milliseconds.
    """

    name: str
    address: str
    state: str
    detail: str
    took_ms: float


class ServerConnection:
    """A connection to a gRPC server, opened at the first call. Thread-safe; calls block.

    Args:
        name: name of the server, for people.
        target: address, TLS, metadata and deadline.
    """

    def __init__(self, name: str, target: Target) -> None:
        self.name, self.target = name, target
        self.channel = open_channel(target.address, target.tls)

    def call(self, method: Callable[..., T], request: Any) -> T:
        """One call with the deadline; raises ServerCallFailed."""
        try:
            return method(request, timeout=self.target.deadline_s, metadata=self.target.metadata)
        except grpc.RpcError as error:
            raise ServerCallFailed(self._describe_failure(error.code(), error.details() or "")) from error

    def _describe_failure(self, code: grpc.StatusCode, details: str) -> str:
        """The text of a failure."""
        if code is grpc.StatusCode.DEADLINE_EXCEEDED:
            words = f"did not answer within {self.target.deadline_s:g} s"
        else:
            words = FAILURES.get(code, f"answers {code.name}")
        return f"The {self.name} at {self.target.address} {words}: {details}"

    def health(self) -> ServerHealth:
        """Run the standard health check; never raises ServerCallFailed."""
        begun_s = time.perf_counter()
        try:
            stub = health_pb2_grpc.HealthStub(self.channel)
            reply = self.call(stub.Check, health_pb2.HealthCheckRequest())  # type: ignore[attr-defined]
            state, detail = health_pb2.HealthCheckResponse.ServingStatus.Name(reply.status), ""
        except ServerCallFailed as error:
            state, detail = "unavailable", str(error)
        return ServerHealth(self.name, self.target.address, state, detail, (time.perf_counter() - begun_s) * 1000)

    def close(self) -> None:
        """Close the connection."""
        self.channel.close()


class ServerConnections:
    """Connections to both servers.

    Args:
        ranking: the ranking server.
        gateway: the event gateway.
    """

    def __init__(self, ranking: Target, gateway: Target) -> None:
        self.ranking, self.gateway = (
            ServerConnection("ranking server", ranking),
            ServerConnection("event gateway", gateway),
        )
        self._rank = ranking_pb2_grpc.RankingServiceStub(self.ranking.channel).Rank  # type: ignore[no-untyped-call]
        events = events_pb2_grpc.EventServiceStub(self.gateway.channel)  # type: ignore[no-untyped-call]
        self._publish = events.Publish

    def rank(self, request: ranking_pb2.RankRequest) -> ranking_pb2.RankResponse:
        """Rank; raises ServerCallFailed."""
        answer: ranking_pb2.RankResponse = self.ranking.call(self._rank, request)
        return answer

    def publish(self, event: events_pb2.BehaviorEvent) -> str:
        """Publish one event and return its id; raises ServerCallFailed, also if the gateway rejects it."""
        request = events_pb2.PublishRequest(entries=[events_pb2.Entry(behavior_event=event)])
        reply: events_pb2.PublishResponse = self.gateway.call(self._publish, request)
        (result,) = reply.results
        if result.WhichOneof("result") != "accepted":
            raise ServerCallFailed(f"The event was rejected: {result.rejected.field}: {result.rejected.reason}")
        return result.accepted.event_id

    def health(self) -> list[ServerHealth]:
        """Check both servers."""
        return [self.ranking.health(), self.gateway.health()]

    def close(self) -> None:
        """Close the connections."""
        self.ranking.close()
        self.gateway.close()
