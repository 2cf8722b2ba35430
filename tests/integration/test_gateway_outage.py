"""The gateway while its broker is killed or paused and returns: no acknowledged event is lost, memory is bounded."""

import os
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from crossrec.events.v1.events_pb2 import PublishRequest, PublishStreamRequest
from services.gateway.health import KafkaHealth
from services.gateway.main import EVENT_SERVICE
from services.gateway.pressure import PendingBudget
from services.gateway.stream import StreamLimits
from services.infra.commands import Endpoints, InfraConfig, down, status, up
from services.kafka.kafka_publisher import KafkaPublisher
from services.kafka.topics import create_topics, topic_specs
from services.server.error_interceptor import RETRY_PUSHBACK
from tests.contract.event_gateway import INTAKE_CONFIG, Bounds, Gateway, running
from tests.integration.test_gateway_kafka import click, entry_of, stored

pytestmark = pytest.mark.integration

KAFKA_TIMEOUT_S = 2.0
DEADLINE_S = 300.0
MAX_RECORDS = 300
BATCH = 20
STREAMED = 200
"""The most unanswered requests of a stream's client."""


class RecordedBudget(PendingBudget):
    """Records the peak of pending bytes and records."""

    peak = (0, 0)

    def take(self, size: int, records: int, timeout_s: float = 0.0, unless: Callable[[], bool] | None = None) -> bool:
        taken = super().take(size, records, timeout_s, unless)
        self.peak = max(self.peak, self.pending)
        return taken


class ClientOutcomes:
    """The outcomes at the clients."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self.acknowledged: list[str] = []
        self.by_client: Counter[int] = Counter()
        self.failures: Counter[tuple[int, str]] = Counter()

    def acknowledge(self, client: int, ids: list[str]) -> None:
        with self._changed:
            self.acknowledged += ids
            self.by_client[client] += len(ids)
            self._changed.notify_all()

    def fail(self, client: int, how: str) -> None:
        with self._changed:
            self.failures[client, how] += 1
            self._changed.notify_all()

    def until(self, condition: Callable[[], bool]) -> None:
        with self._changed:
            assert self._changed.wait_for(condition, DEADLINE_S), (self.by_client, self.failures)

    def until_each_acknowledged(self, more: int) -> None:
        """Wait until each client has that many more acknowledged events."""
        before = dict(self.by_client)
        self.until(lambda: all(self.by_client[client] >= before.get(client, 0) + more for client in range(6)))


def publish_batches(gateway: Gateway, client: int, outcomes: ClientOutcomes, stop: threading.Event) -> None:
    """One batch after the other; a failed batch is not sent again."""
    number = 0
    while not stop.is_set():
        entries = [click(client, number + place) for place in range(BATCH)]
        number += BATCH
        try:
            answer = gateway.stub.Publish(PublishRequest(entries=entries), timeout=300, wait_for_ready=True)
        except grpc.RpcError as error:
            outcomes.fail(client, error.code().name)
            stop.wait(int(dict(error.trailing_metadata()).get(RETRY_PUSHBACK, 0)) / 1000)
        else:
            outcomes.acknowledge(client, [result.accepted.event_id for result in answer.results])


def publish_stream(gateway: Gateway, client: int, outcomes: ClientOutcomes, stop: threading.Event) -> None:
    """One event per request, many in flight; an unconfirmed event is not sent again."""
    free = threading.Semaphore(STREAMED)

    def requests() -> Iterator[PublishStreamRequest]:
        number = 0
        while not stop.is_set():
            if free.acquire(timeout=0.1):
                yield PublishStreamRequest(sequence=number, entries=[click(client, number)])
                number += 1

    for answer in gateway.stub.PublishStream(requests(), timeout=600, wait_for_ready=True):
        free.release()
        (result,) = answer.results
        if result.HasField("accepted"):
            outcomes.acknowledge(client, [result.accepted.event_id])
        else:
            outcomes.fail(client, result.WhichOneof("result"))


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[InfraConfig]:
    """A broker of this test's own, which it kills."""
    config = InfraConfig(tmp_path)
    try:
        yield config
    finally:
        down(config)


def signal_kafka(config: InfraConfig, number: signal.Signals) -> None:
    (kafka,) = [server for server in status(config) if server.name == "kafka"]
    assert kafka.pid is not None
    os.kill(kafka.pid, number)


def wait_for_health(gateway: Gateway, expected: int) -> None:
    watch = health_pb2_grpc.HealthStub(gateway.channel).Watch(
        health_pb2.HealthCheckRequest(service=EVENT_SERVICE), timeout=DEADLINE_S, wait_for_ready=True
    )
    next(answer for answer in watch if answer.status == expected)
    watch.cancel()


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "paused"])
def test_a_broker_outage_loses_nothing_acknowledged_and_bounds_memory(
    servers: InfraConfig, how: signal.Signals
) -> None:
    """Four clients send batches and two streams during the outage; health turns NOT_SERVING and back."""
    infra = up(servers)
    create_topics(infra.kafka_bootstrap, topic_specs(partitions=4))
    budget, outcomes, stop = RecordedBudget(10_000_000, MAX_RECORDS), ClientOutcomes(), threading.Event()
    publisher = KafkaPublisher(infra.kafka_bootstrap, KAFKA_TIMEOUT_S)
    bounds = Bounds(budget, stream=StreamLimits(STREAMED))
    with (
        running(publisher, replace(INTAKE_CONFIG, kafka_timeout_s=KAFKA_TIMEOUT_S), bounds) as gateway,
        ExitStack() as stack,
    ):
        health = KafkaHealth(gateway.built.health, EVENT_SERVICE, publisher, interval_s=0.2, timeout_s=1.0)
        health.start()
        stack.callback(health.stop)
        clients = [threading.Thread(target=publish_batches, args=(gateway, n, outcomes, stop)) for n in range(4)]
        clients += [threading.Thread(target=publish_stream, args=(gateway, n, outcomes, stop)) for n in (4, 5)]
        try:
            for client in clients:
                client.start()
            outcomes.until_each_acknowledged(200)
            signal_kafka(servers, how)
            wait_for_health(gateway, health_pb2.HealthCheckResponse.NOT_SERVING)
            outcomes.until(lambda: all(_failures(outcomes, client) >= 3 for client in range(6)))  # some time-outs long
            if how == signal.SIGSTOP:
                signal_kafka(servers, signal.SIGCONT)
            else:
                up(servers)
            outcomes.until_each_acknowledged(200)
            wait_for_health(gateway, health_pb2.HealthCheckResponse.SERVING)
        finally:
            stop.set()
            for client in clients:
                client.join(DEADLINE_S)
        assert not any(client.is_alive() for client in clients)
    publisher.close(10.0)
    assert budget.pending == (0, 0)
    assert 0 < budget.peak[1] <= MAX_RECORDS
    failures = {failure for _, failure in outcomes.failures}
    assert failures <= {"RESOURCE_EXHAUSTED", "UNAVAILABLE", "unconfirmed"}
    assert how == signal.SIGSTOP or "RESOURCE_EXHAUSTED" in failures
    _assert_stored(infra, outcomes)


def _failures(outcomes: ClientOutcomes, client: int) -> int:
    return sum(count for (failed, _), count in outcomes.failures.items() if failed == client)


def _assert_stored(infra: Endpoints, outcomes: ClientOutcomes) -> None:
    """Every acknowledged event is stored, each once, and each client's are in the order sent."""
    found: dict[str, list[int]] = {}
    for record in stored(infra, "crossrec.behavior"):
        client, _, number = entry_of(record).behavior_event.event_id.partition("-")
        found.setdefault(client, []).append(int(number))
    ids = {f"{client}-{number}" for client, numbers in found.items() for number in numbers}
    assert set(outcomes.acknowledged) - ids == set()
    assert len(ids) == sum(map(len, found.values()))
    assert all(numbers == sorted(numbers) for numbers in found.values())
