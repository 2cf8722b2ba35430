"""Health follows the publisher's checks, with hysteresis, and logs the reason."""

import json
import logging
import threading

import pytest

from services.gateway.health import Hysteresis, KafkaHealth
from services.kafka.publisher import MemoryPublisher
from services.server.health_service import HealthService
from services.server.logging import JsonFormatter
from tests.unit.server.health_services import new_waits

CASES = [
    ("+", "+"),
    ("---", "---"),
    ("--+", "--+"),
    ("+--+--", "++++++"),
    ("+---", "+++-"),
    ("+---+-+-+", "+++------"),
    ("+---++", "+++--+"),
]


@pytest.mark.parametrize(("checks", "ready"), CASES, ids=[checks for checks, _ in CASES])
def test_it_takes_several_checks_in_a_row_to_change(checks: str, ready: str) -> None:
    """Three failures to become unready, two successes to become ready again; at the start one success is enough."""
    state = Hysteresis(failures=3, successes=2)
    seen = []
    for check in checks:
        state.observe(check == "+")
        seen.append("+" if state.ready else "-")
    assert "".join(seen) == ready


def test_a_change_is_reported_once() -> None:
    state = Hysteresis(failures=3, successes=2)
    changes = [state.observe(check == "+") for check in "+----++-"]
    assert changes == [True, False, False, True, False, False, True, False]


SERVING, NOT_SERVING = 1, 2


class Health(HealthService):
    """Records the statuses that are set."""

    def __init__(self) -> None:
        super().__init__(new_waits("message"), new_waits("status"), threads=16)
        self.statuses: dict[str, list[int]] = {}
        self.serving = threading.Event()

    def set(self, service: str, status: int) -> None:
        self.statuses.setdefault(service, []).append(status)
        super().set(service, status)
        if status == SERVING:
            self.serving.set()


def test_health_follows_kafka_and_the_reason_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """For the service and for the server as a whole; one line per change."""
    caplog.set_level(logging.INFO)
    health, publisher = Health(), MemoryPublisher(failures={0: TimeoutError("no broker")})
    monitor = KafkaHealth(health, "the.Service", publisher, interval_s=3600.0, timeout_s=1.0)
    monitor.start()
    publisher.failures = {}
    monitor.check()
    publisher.failures = {0: TimeoutError("no broker")}
    for _ in range(3):
        monitor.check()
    publisher.failures = {}
    for _ in range(2):
        monitor.check()
    monitor.stop()
    assert health.statuses == {name: [NOT_SERVING, SERVING, NOT_SERVING, SERVING] for name in ("", "the.Service")}
    lines = [json.loads(JsonFormatter().format(record)) for record in caplog.records]
    assert [line["event"] for line in lines] == [
        "gateway_waits_for_kafka",
        "gateway_serving",
        "gateway_not_serving",
        "gateway_serving",
    ]
    assert lines[2]["reason"] == "TimeoutError: no broker"


def test_checks_run_in_the_background() -> None:
    """From the start on, until it is stopped."""
    health, publisher = Health(), MemoryPublisher(failures={0: TimeoutError()})
    monitor = KafkaHealth(health, "the.Service", publisher, interval_s=0.001, timeout_s=1.0)
    monitor.start()
    publisher.failures = {}
    assert health.serving.wait(300)
    monitor.stop()
    assert health.statuses["the.Service"] == [NOT_SERVING, SERVING]


def test_a_server_that_answers_no_calls_is_not_ready() -> None:
    """Whatever Kafka does; the reason is in the answer."""
    reasons = iter(["", "the server does not answer"])
    monitor = KafkaHealth(Health(), "the.Service", MemoryPublisher(), 3600.0, 1.0, lambda: next(reasons))
    monitor.check()
    assert monitor.ready().ok
    assert ["the server does not answer"] == monitor.ready().reasons
