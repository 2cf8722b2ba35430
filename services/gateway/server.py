"""The gateway's gRPC server."""

from crossrec.events.v1 import events_pb2
from crossrec.events.v1.events_pb2_grpc import EventServiceServicer, add_EventServiceServicer_to_server
from services.runtime.grpc_server import BoundServer
from services.runtime.grpc_server import build_server as build_grpc_server

EVENT_SERVICE = events_pb2.DESCRIPTOR.services_by_name["EventService"].full_name

MAX_REQUEST_BYTES = 8 * 1024 * 1024


def build_server(service: EventServiceServicer, listen: str, max_workers: int) -> BoundServer:
    """Bind EventService with health and reflection to `listen`."""

    def register(server: object) -> None:
        add_EventServiceServicer_to_server(service, server)  # type: ignore[no-untyped-call]

    return build_grpc_server(EVENT_SERVICE, register, listen, max_workers, MAX_REQUEST_BYTES)
