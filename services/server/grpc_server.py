"""Builds a gRPC server as gateway and ranking use it: service, health and reflection on one port, interceptors."""

import os
import secrets
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import grpc
from grpc_health.v1 import health_pb2
from grpc_health.v1.health import SERVICE_NAME as HEALTH_SERVICE
from grpc_reflection.v1alpha import reflection

from services.errors import ConfigurationError
from services.server.call_observer import CallObserver, Observe
from services.server.client_waits import ClientWaits, WaitLimits, cancelled_calls_log
from services.server.error_interceptor import ErrorInterceptor
from services.server.health_service import MOST_WATCHES, HealthService
from services.server.health_service import SPARE_THREADS as HEALTH_SPARE_THREADS
from services.server.message_interceptor import MessageInterceptor, MessageLimits
from services.server.parsing_budget import ParsingBudget
from services.server.security.protection import UNPROTECTED, Protection
from services.server.telemetry.interceptor import RequestInterceptor
from services.server.wire_count import WireLimit

if TYPE_CHECKING:
    from services.server.telemetry.opentelemetry import Tracing

READ_BYTES = 512 * 1024 * 1024
"""Memory for messages that are being received: gRPC keeps what has arrived of each, and a message may be as large as
the largest request. The memory limits in the chart leave room for it."""

MOST_UNTAKEN = 64
"""Calls whose answer their client has not taken; of more, those of the client that has most end."""

TAKE_TIMEOUT_S, TAKE_GRACE_S = 60.0, 5.0
"""Seconds that a client has to take an answer; while there are too many untaken ones, at least the second."""

SEND_TIMEOUT_S = 1.0
"""Seconds that a client has to take a status that it watches: sending holds a thread."""

SPARE_CALLS = 1024
"""Calls beyond the threads, which wait until one has rejected them: a burst of calls without messages comes in faster
than threads can refuse it, and gRPC itself would refuse other calls along with it."""

PENDING_CALLS, MOST_PENDING_CALLS = 2000, 2500
"""Of calls that have not come to Python yet, gRPC cancels some at random, whosever they are, from the first number on
(by default 1,000), and all beyond the second: each takes about 50 kB."""


@dataclass(frozen=True)
class BoundServer:
    """A server that is bound to its port and not started.

    Args:
        server: to start and stop.
        health: the health status of the server and of its service.
        address: where it listens, host:port.
        probe_address: where this process alone may ask for its health, in plain text.
    """

    server: grpc.Server
    health: HealthService
    address: str
    probe_address: str


@dataclass(frozen=True)
class ServerLimits:
    """Limits of a server.

    Args:
        max_workers: requests served at once; more wait, and those whose deadline passes meanwhile are dropped.
        max_request_bytes: larger requests are answered with RESOURCE_EXHAUSTED.
        wire: most entries of requests by method, like /service/method.
    """

    max_workers: int
    max_request_bytes: int
    wire: Mapping[str, WireLimit] | None = None


def build_server(
    name: str,
    register: Callable[[grpc.Server], None],
    listen: str,
    limits: ServerLimits,
    *,
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
        limits: see `ServerLimits`.
        shared: whether other processes of this user may listen on the same port, and get a share of the connections.
        protection: TLS, access control and limits per client.
        observe: is called for every call of the service that has ended.
        tracing: makes spans of calls; None: no tracing.
    """
    options = (
        ("grpc.max_receive_message_length", limits.max_request_bytes),
        # Unless `shared`, a port that is taken is an error, not a second server that gets half the calls.
        ("grpc.so_reuseport", int(shared)),
        # Streams of a client that vanished end within the sum of these two.
        ("grpc.keepalive_time_ms", 30_000),
        ("grpc.keepalive_timeout_ms", 10_000),
        # Clients may send keepalive pings, too, more often than every 5 minutes, and stay connected.
        ("grpc.http2.min_ping_interval_without_data_ms", 20_000),
        ("grpc.max_concurrent_streams", protection.max_streams),
        ("grpc.server.max_pending_requests", PENDING_CALLS),
        ("grpc.server.max_pending_requests_hard_limit", MOST_PENDING_CALLS),
    )
    reads = WaitLimits(max(1, READ_BYTES // limits.max_request_bytes), protection.message_timeout_s)
    cancelled = cancelled_calls_log()
    messages = ClientWaits(reads, "message", cancelled)
    answers = ClientWaits(WaitLimits(MOST_UNTAKEN, TAKE_TIMEOUT_S, TAKE_GRACE_S), "answer to be taken", cancelled)
    statuses = ClientWaits(WaitLimits(MOST_WATCHES, SEND_TIMEOUT_S), "status to be taken", cancelled)
    # A thread per request that is served, that is read, or that waits to be read: so no call waits in the pool's queue.
    threads = limits.max_workers + reads.most + reads.most_queued
    health_threads = reads.most + HEALTH_SPARE_THREADS
    observers = [CallObserver(name, observe)] if observe else []
    parsing = ParsingBudget(limits.max_request_bytes)
    server = grpc.server(
        ThreadPoolExecutor(threads, thread_name_prefix="grpc"),
        interceptors=[
            RequestInterceptor(tracing),
            *observers,
            ErrorInterceptor(),
            *protection.interceptors,
            MessageInterceptor(name, MessageLimits(messages, answers, parsing, limits.wire or {})),
        ],
        options=options,
        maximum_concurrent_rpcs=threads + health_threads + SPARE_CALLS,
    )
    register(server)
    health = HealthService(messages, statuses, health_threads)
    health.set(name, health_pb2.HealthCheckResponse.SERVING)
    health.add_to(server)
    if protection.reflection:
        reflection.enable_server_reflection((name, HEALTH_SERVICE, reflection.SERVICE_NAME), server)
    try:
        port = protection.bind(server, listen)
        probe_address = f"unix-abstract:crossrec-{os.getpid()}-{secrets.token_hex(8)}"
        server.add_insecure_port(probe_address)
    except RuntimeError as error:
        raise ConfigurationError(f"listen: cannot bind {listen}, is the port taken?") from error
    return BoundServer(server, health, f"{listen.rpartition(':')[0]}:{port}", probe_address)
