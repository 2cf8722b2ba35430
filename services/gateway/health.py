"""The gateway's health: SERVING while Kafka is known to accept records.

Checks a `Publisher` periodically; one failed check is not yet an outage, one successful check not yet its end.
"""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass

from grpc_health.v1 import health_pb2
from grpc_health.v1.health import OVERALL_HEALTH

from services.kafka.publisher import Publisher
from services.server.health_service import HealthService
from services.server.logging import log_event
from services.server.metrics_endpoint import HealthReport

_logger = logging.getLogger(__name__)


@dataclass
class Hysteresis:
    """Readiness with hysteresis: ready after the first success, then changed by several equal checks in a row.

    Args:
        failures: consecutive failed checks until it is not ready.
        successes: consecutive successful checks until it is ready again.
    """

    failures: int = 3
    successes: int = 2
    ready: bool = False
    _fresh: bool = True
    _against: int = 0

    def observe(self, good: bool) -> bool:
        """Add the result of a check; returns whether `ready` changed."""
        if good == self.ready:
            self._against = 0
            return False
        self._against += 1
        if self._against < (self.successes if good else self.failures) and not (good and self._fresh):
            return False
        self.ready, self._against, self._fresh = good, 0, False
        return True


class KafkaHealth:
    """Keeps the health service up to date with Kafka's availability, on a thread of its own.

    Args:
        health: the health service.
        service: full name of the service that needs Kafka; the server's overall health follows it.
        publisher: is checked.
        interval_s: seconds between checks.
        timeout_s: longest duration of a check, seconds.
        stuck: why the server answers no calls, empty while it does.
    """

    def __init__(
        self,
        health: HealthService,
        service: str,
        publisher: Publisher,
        interval_s: float,
        timeout_s: float,
        stuck: Callable[[], str] = lambda: "",
    ) -> None:
        self._stuck = stuck
        self._health, self._names = health, (OVERALL_HEALTH, service)
        self._publisher = publisher
        self._interval_s, self._timeout_s = interval_s, timeout_s
        self._state = Hysteresis()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="kafka-health", daemon=True)

    def start(self) -> None:
        """Check once, so that health is correct from the first call on, then periodically."""
        self._set()
        self.check()
        if not self._state.ready:
            log_event(_logger, "gateway_waits_for_kafka", level=logging.WARNING)
        self._thread.start()

    def stop(self) -> None:
        """Stop checking; waits for a check in progress."""
        self._stop.set()
        self._thread.join()

    @property
    def serving(self) -> bool:
        """Whether Kafka is known to accept records."""
        return self._state.ready

    def live(self) -> HealthReport:
        """Always ok: an unavailable Kafka is no reason to restart the process."""
        return HealthReport(ok=True, reasons=[], details={})

    def ready(self) -> HealthReport:
        """Whether events can be stored."""
        reasons = ["stopping"] if self._stop.is_set() else []
        if not self.serving:
            reasons.append("Kafka is not known to accept records")
        if stuck := self._stuck():
            reasons.append(stuck)
        return HealthReport(not reasons, reasons, {})

    def check(self) -> None:
        """Check once; publish and log a change."""
        error: Exception | None = None
        try:
            self._publisher.check(self._timeout_s)
        except Exception as caught:  # whatever the error, nothing can be stored
            error = caught
        if not self._state.observe(error is None):
            return
        self._set()
        if error is None:
            log_event(_logger, "gateway_serving")
        else:
            reason = f"{type(error).__name__}: {error}"
            log_event(_logger, "gateway_not_serving", level=logging.WARNING, reason=reason)

    def _set(self) -> None:
        status = health_pb2.HealthCheckResponse
        for name in self._names:
            self._health.set(name, status.SERVING if self._state.ready else status.NOT_SERVING)

    def _run(self) -> None:
        while not self._stop.wait(self._interval_s):
            self.check()
