"""The gateway's gRPC server."""

from typing import TYPE_CHECKING

from crossrec.events.v1 import events_pb2
from crossrec.events.v1.events_pb2_grpc import add_EventServiceServicer_to_server
from services.gateway.service import EventService
from services.server.call_observer import Observe
from services.server.grpc_server import BoundServer
from services.server.grpc_server import build_server as build_grpc_server
from services.server.security.protection import UNPROTECTED, Protection

if TYPE_CHECKING:
    from services.server.telemetry.opentelemetry import Tracing

EVENT_SERVICE = events_pb2.DESCRIPTOR.services_by_name["EventService"].full_name

MAX_REQUEST_BYTES = 8 * 1024 * 1024

SPARE_THREADS = 4
"""Threads beyond one per batch and stream: refusals and health checks need not wait for one of those to end."""


def build_server(
    service: EventService,
    listen: str,
    protection: Protection = UNPROTECTED,
    *,
    observe: Observe | None = None,
    tracing: "Tracing | None" = None,
) -> BoundServer:
    """Bind EventService with health and reflection to `listen`.

    `observe` hears of every call that ended, `tracing` makes spans of them.
    """

    def register(server: object) -> None:
        add_EventServiceServicer_to_server(service, server)  # type: ignore[no-untyped-call]

    # The service itself limits what is served at once: in the queue of a thread pool calls could not be refused,
    # and a stream keeps its thread for as long as it is open.
    threads = service.max_calls + SPARE_THREADS
    return build_grpc_server(
        EVENT_SERVICE,
        register,
        listen,
        threads,
        MAX_REQUEST_BYTES,
        protection=protection,
        observe=observe,
        tracing=tracing,
    )
