"""gRPC's health service, which everybody may ask, without what that would cost: it keeps every name ever watched."""

from typing import Any

from grpc_health.v1 import health_pb2
from grpc_health.v1.health import HealthServicer


class KnownHealth(HealthServicer):
    """Watches only the services that it is for; others get SERVICE_UNKNOWN, and nothing is kept of their names.

    Args:
        service: full name of the one beside the server as a whole.
    """

    def __init__(self, service: str) -> None:
        super().__init__()
        self._known = {"", service}

    def Watch(self, request: Any, context: Any, send_response_callback: Any = None) -> Any:  # noqa: N802
        """Say how a service is, and again whenever that changes, until the caller leaves."""
        if request.service in self._known or send_response_callback is None:
            return super().Watch(request, context, send_response_callback)
        send_response_callback(health_pb2.HealthCheckResponse(status=health_pb2.HealthCheckResponse.SERVICE_UNKNOWN))
        context.add_callback(lambda: send_response_callback(None))
        return None
