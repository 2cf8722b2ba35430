"""gRPC's health service, which everybody may ask, without what that would cost: it keeps every name ever watched."""

from typing import Any

from grpc_health.v1 import health_pb2
from grpc_health.v1.health import HealthServicer


class KnownHealth(HealthServicer):
    """Watches only services that it knows; others get SERVICE_UNKNOWN, and nothing is kept of their names."""

    def Watch(self, request: Any, context: Any, send_response_callback: Any = None) -> Any:  # noqa: N802
        """Say how a service is, and again whenever that changes, until the caller leaves."""
        with self._lock:
            known = request.service in self._server_status
        if known or send_response_callback is None:
            return super().Watch(request, context, send_response_callback)
        send_response_callback(health_pb2.HealthCheckResponse(status=health_pb2.HealthCheckResponse.SERVICE_UNKNOWN))
        context.add_callback(lambda: send_response_callback(None))
        return None
