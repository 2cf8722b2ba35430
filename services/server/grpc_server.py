"""A gRPC server as both servers have it: one service, health and reflection on one port, one exit for errors."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import SERVICE_NAME as HEALTH_SERVICE
from grpc_health.v1.health import HealthServicer
from grpc_reflection.v1alpha import reflection

from services.errors import ConfigurationError
from services.server.call_observer import CallWatch, Observe
from services.server.error_interceptor import ErrorInterceptor
from services.server.health_service import KnownHealth
from services.server.security.protection import UNPROTECTED, Protection
from services.server.telemetry.interceptor import RequestInterceptor

if TYPE_CHECKING:
    from services.server.telemetry.opentelemetry import Tracing


@dataclass(frozen=True)
class BoundServer:
    """A bound server that is not started yet.

    Args:
        server: to start and stop.
        health: answers for the whole server and for its service.
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
        max_calls: calls in the server, waiting ones included, beyond which RESOURCE_EXHAUSTED answers; None: any.
        shared: whether other processes of this user may listen on the same port, and get their share of connections.
        protection: TLS, and who may call what.
        observe: hears of every call of the service that ended.
        tracing: makes spans of calls; None: none are made.
    """
    options = (
        ("grpc.max_receive_message_length", max_request_bytes),
        # Unless it was meant: a port that is taken is an error, not a second server that gets half the calls.
        ("grpc.so_reuseport", int(shared)),
        # A client that vanished without a word ends its streams, within these two together.
        ("grpc.keepalive_time_ms", 30_000),
        ("grpc.keepalive_timeout_ms", 10_000),
        # A client may look after us likewise, more often than every 5 minutes, without being sent away for it.
        ("grpc.http2.min_ping_interval_without_data_ms", 20_000),
        ("grpc.max_concurrent_streams", protection.max_streams),
    )
    pool = ThreadPoolExecutor(max_workers, thread_name_prefix="grpc")
    watching = [CallWatch(name, observe)] if observe else []
    interceptors = [RequestInterceptor(tracing), *watching, ErrorInterceptor(), *protection.interceptors]
    server = grpc.server(pool, interceptors=interceptors, options=options, maximum_concurrent_rpcs=max_calls)
    register(server)
    health = KnownHealth(name)
    health.set(name, health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(health, server)
    if protection.reflection:
        reflection.enable_server_reflection((name, HEALTH_SERVICE, reflection.SERVICE_NAME), server)
    try:
        port = protection.bind(server, listen)
    except RuntimeError as error:
        raise ConfigurationError(f"listen: cannot bind {listen}, is the port taken?") from error
    return BoundServer(server, health, f"{listen.rpartition(':')[0]}:{port}")
