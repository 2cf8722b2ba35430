"""A health service for tests, without a server around it."""

from services.server.client_waits import ClientWaits, WaitLimits, cancelled_calls_log
from services.server.health_service import HealthService


def new_waits(kind: str, most: int = 8, timeout_s: float = 30.0) -> ClientWaits:
    """Waits for clients with these limits."""
    return ClientWaits(WaitLimits(most, timeout_s), kind, cancelled_calls_log())


def new_health_service(**statuses: int) -> HealthService:
    """A health service with these statuses besides that of the whole server."""
    made = HealthService(new_waits("message"), new_waits("status"), threads=16)
    for name, status in statuses.items():
        made.set(name, status)
    return made
