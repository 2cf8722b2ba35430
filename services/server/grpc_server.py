"""Builds a gRPC server as gateway and ranking use it: service, health and reflection on one port, interceptors."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import SERVICE_NAME as HEALTH_SERVICE
from grpc_health.v1.health import HealthServicer
from grpc_reflection.v1alpha import reflection

from services.errors import ConfigurationError
from services.server.call_observer import CallObserver, Observe
from services.server.error_interceptor import ErrorInterceptor
from services.server.security.protection import UNPROTECTED, Protection
from services.server.telemetry.interceptor import RequestInterceptor

if TYPE_CHECKING:
    from services.server.telemetry.opentelemetry import Tracing


class BoundedHealthServicer(HealthServicer):
    """gRPC's health service, which keeps every service name that a client watches, restricted to known services.

    Watching another name gets SERVICE_UNKNOWN, and nothing is stored: the health service needs no token, so clients
    could otherwise fill the memory.

    Args:
        service: full name of the one service besides the server as a whole.
    """

    def __init__(self, service: str) -> None:
        super().__init__()
        self._known = {"", service}

    def Watch(self, request: Any, context: Any, send_response_callback: Any = None) -> Any:  # noqa: N802
        """Send the status of a service, and again whenever it changes, until the client leaves."""
        if request.service in self._known or send_response_callback is None:
            return super().Watch(request, context, send_response_callback)
        send_response_callback(health_pb2.HealthCheckResponse(status=health_pb2.HealthCheckResponse.SERVICE_UNKNOWN))
        context.add_callback(lambda: send_response_callback(None))
        return None


@dataclass(frozen=True)
class BoundServer:
    """A server that is bound to its port and not started.

    Args:
        server: to start and stop.
        health: the health status of the server and of its service.
        address: where it listens, host:port.
    """

    server: grpc.Server
    health: HealthServicer
    address: str


def build_server(
    name: str,
    register: Callable[[grpc.Server], None],
    listen: str,
    max_workers: int,
    max_request_bytes: int,
    *,
    max_calls: int | None = None,
    shared: bool = False,
    protection: Protection = UNPROTECTED,
    observe: Observe | None = None,
    tracing: "Tracing | None" = None,
) -> BoundServer:
    """Bind a service to `listen` (port 0: any free one); ConfigurationError if the port is taken.

    Args:
        name: full name of the service.
        register: adds the servicer to a server.
        listen: host:port.
        max_workers: requests served at once; more wait, and those whose deadline passes meanwhile are dropped.
        max_request_bytes: larger requests are answered with RESOURCE_EXHAUSTED.
        max_calls: calls in the server, waiting ones included; more are answered with RESOURCE_EXHAUSTED; None: any.
        shared: whether other processes of this user may listen on the same port, and get a share of the connections.
        protection: TLS and access control.
        observe: is called for every call of the service that has ended.
        tracing: makes spans of calls; None: no tracing.
    """
    options = (
        ("grpc.max_receive_message_length", max_request_bytes),
        # Unless `shared`, a port that is taken is an error, not a second server that gets half the calls.
        ("grpc.so_reuseport", int(shared)),
        # Streams of a client that vanished end within the sum of these two.
        ("grpc.keepalive_time_ms", 30_000),
        ("grpc.keepalive_timeout_ms", 10_000),
        # Clients may send keepalive pings, too, more often than every 5 minutes, and stay connected.
        ("grpc.http2.min_ping_interval_without_data_ms", 20_000),
        ("grpc.max_concurrent_streams", protection.max_streams),
    )
    pool = ThreadPoolExecutor(max_workers, thread_name_prefix="grpc")
    observers = [CallObserver(name, observe)] if observe else []
    interceptors = [RequestInterceptor(tracing), *observers, ErrorInterceptor(), *protection.interceptors]
    server = grpc.server(pool, interceptors=interceptors, options=options, maximum_concurrent_rpcs=max_calls)
    register(server)
    health = BoundedHealthServicer(name)
    health.set(name, health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(health, server)
    if protection.reflection:
        reflection.enable_server_reflection((name, HEALTH_SERVICE, reflection.SERVICE_NAME), server)
    try:
        port = protection.bind(server, listen)
    except RuntimeError as error:
        raise ConfigurationError(f"listen: cannot bind {listen}, is the port taken?") from error
    return BoundServer(server, health, f"{listen.rpartition(':')[0]}:{port}")
