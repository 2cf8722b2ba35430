"""The gateway's gRPC server: EventService with health and reflection on one port."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import grpc
from crossrec.events.v1 import events_pb2
from crossrec.events.v1.events_pb2_grpc import EventServiceServicer, add_EventServiceServicer_to_server
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import SERVICE_NAME as HEALTH_SERVICE
from grpc_health.v1.health import HealthServicer
from grpc_reflection.v1alpha import reflection

from services.runtime.grpc_errors import ErrorInterceptor

EVENT_SERVICE = events_pb2.DESCRIPTOR.services_by_name["EventService"].full_name

MAX_REQUEST_BYTES = 8 * 1024 * 1024
"""Largest request received; gRPC answers a larger one with RESOURCE_EXHAUSTED."""

_OPTIONS = (
    ("grpc.max_receive_message_length", MAX_REQUEST_BYTES),
    ("grpc.so_reuseport", 0),  # a port that is taken is an error, not a second server that gets half the calls
)


@dataclass(frozen=True)
class GatewayServer:
    """A bound server that is not started yet.

    Args:
        server: to start and stop.
        health: answers for the whole server and for EventService.
        address: where it listens, host:port.
    """

    server: grpc.Server
    health: HealthServicer
    address: str


def build_server(service: EventServiceServicer, listen: str, max_workers: int) -> GatewayServer:
    """Bind `service` to `listen` (port 0: any free one); RuntimeError if the port is taken.

    At most `max_workers` requests are served at once; more wait, and those whose deadline passes meanwhile are
    dropped by gRPC.
    """
    pool = ThreadPoolExecutor(max_workers, thread_name_prefix="grpc")
    server = grpc.server(pool, interceptors=[ErrorInterceptor()], options=_OPTIONS)
    add_EventServiceServicer_to_server(service, server)  # type: ignore[no-untyped-call]
    health = HealthServicer()
    health.set(EVENT_SERVICE, health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(health, server)
    reflection.enable_server_reflection((EVENT_SERVICE, HEALTH_SERVICE, reflection.SERVICE_NAME), server)
    port = server.add_insecure_port(listen)
    return GatewayServer(server, health, f"{listen.rpartition(':')[0]}:{port}")
