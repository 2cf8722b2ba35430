"""Publish under pressure: what the gateway rejects, with which delay, and what it still serves."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import grpc
import pytest
from google.rpc.error_details_pb2 import RetryInfo
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_status import rpc_status

from crossrec.events.v1.events_pb2 import Entry, PublishRequest, ScenarioUpdate
from crossrec.events.v1.events_pb2_grpc import EventServiceStub
from services.gateway.pressure import PendingBudget, RateLimits
from services.kafka.publisher import MemoryPublisher
from services.server.error_interceptor import RETRY_PUSHBACK
from tests.contract.event_gateway import Bounds, Gateway, running

VALID = Entry(scenario_update=ScenarioUpdate(scenario_id="tv"))


class Clock:
    """A clock that only the test moves."""

    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@contextmanager
def slow(bounds: Bounds) -> Iterator[Gateway]:
    """A gateway whose Kafka confirms only when the test releases it."""
    publisher = MemoryPublisher(holding=True)
    with running(publisher, bounds=bounds) as gateway:
        try:
            yield gateway
        finally:
            publisher.close(0.0)


def refused(gateway: Gateway, entries: int = 1, metadata: tuple[tuple[str, str], ...] = ()) -> tuple[str, int]:
    """The text and the delay in milliseconds with which a batch is refused."""
    request = PublishRequest(entries=[VALID] * entries)
    with pytest.raises(grpc.RpcError) as caught:
        gateway.stub.Publish(request, timeout=300, wait_for_ready=True, metadata=metadata)
    assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    status, retry = rpc_status.from_call(caught.value), RetryInfo()
    assert status is not None
    status.details[0].Unpack(retry)
    assert dict(caught.value.trailing_metadata())[RETRY_PUSHBACK] == str(retry.retry_delay.ToMilliseconds())
    return caught.value.details(), retry.retry_delay.ToMilliseconds()


def test_beyond_the_pending_bound_batches_are_refused_and_accepted_ones_are_kept() -> None:
    """At once and with a retry delay; accepted batches are stored when Kafka is back, and there is room again."""
    budget = PendingBudget(max_bytes=1_000_000, max_records=10)
    with slow(Bounds(budget)) as gateway, ThreadPoolExecutor(1) as pool:
        first = pool.submit(gateway.publish, *[VALID] * 8)
        assert gateway.publisher.wait_for_held(8) == 8
        text, delay_ms = refused(gateway, entries=3)
        assert "nothing was stored" in text
        assert delay_ms == 1000
        gateway.publisher.release()
        assert [result.accepted.event_id for result in first.result(300)] == ["made"] * 8
        gateway.publisher.holding = False
        assert len(gateway.publish(*[VALID] * 3)) == 3
        assert len(gateway.publisher.stored) == 11
    assert budget.pending == (0, 0)


def test_a_caller_that_cancels_frees_no_room() -> None:
    """Its records stay in memory until Kafka's client releases them."""
    budget = PendingBudget(max_bytes=1_000_000, max_records=2)
    with slow(Bounds(budget)) as gateway:
        with pytest.raises(grpc.RpcError):
            gateway.stub.Publish(PublishRequest(entries=[VALID] * 2), timeout=0.3, wait_for_ready=True)
        assert gateway.publisher.wait_for_held(2) == 2
        refused(gateway)
        gateway.publisher.release(TimeoutError())
        assert budget.pending == (0, 0)


def test_rejected_entries_need_no_room() -> None:
    with slow(Bounds(PendingBudget(max_bytes=1, max_records=1))) as gateway, ThreadPoolExecutor(1) as pool:
        pool.submit(gateway.publish, VALID)
        gateway.publisher.wait_for_held(1)
        (result,) = gateway.publish(Entry())
        assert result.rejected.field == "entry"
        gateway.publisher.release()


def test_beyond_the_batches_served_at_once_callers_are_refused_and_health_answers() -> None:
    """No caller queues behind a Kafka that does not answer."""
    with slow(Bounds(max_batches=2)) as gateway, ThreadPoolExecutor(2) as pool:
        for _ in range(2):
            pool.submit(gateway.publish, VALID)
        assert gateway.publisher.wait_for_held(2) == 2
        text, delay_ms = refused(gateway)
        assert (text, delay_ms) == ("2 batches are being stored already", 100)
        health = health_pb2_grpc.HealthStub(gateway.channel)
        assert health.Check(health_pb2.HealthCheckRequest(), timeout=300).status == 1
        gateway.publisher.release()


def test_a_client_over_its_rate_gets_the_exact_retry_delay() -> None:
    """A caller does not get another rate with a name that it chooses."""
    clock = Clock()
    with running(MemoryPublisher(), bounds=Bounds(rates=RateLimits(10.0, 5, clock_s=clock))) as gateway:
        gateway.publish(*[VALID] * 5)
        for metadata in ((), (("crossrec-client", "another"),)):
            text, delay_ms = refused(gateway, 3, metadata)
            assert text == "more than 10 events a second; nothing was stored"
            assert delay_ms == 300
        clock.now_s += 0.3
        gateway.publish(*[VALID] * 3)


def test_unnamed_callers_share_the_rate_of_their_address() -> None:
    """Over all of their connections."""
    with running(MemoryPublisher(), bounds=Bounds(rates=RateLimits(10.0, 5, clock_s=Clock()))) as gateway:
        gateway.publish(*[VALID] * 5)
        with grpc.insecure_channel(gateway.built.address, [("grpc.use_local_subchannel_pool", 1)]) as channel:
            with pytest.raises(grpc.RpcError) as caught:
                EventServiceStub(channel).Publish(PublishRequest(entries=[VALID]), timeout=300, wait_for_ready=True)
            assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED


def test_a_grpc_client_with_a_retry_policy_retries_after_the_given_delay() -> None:
    """The delay in the trailing metadata replaces its own back-off, here of an hour."""
    policy = {
        "maxAttempts": 5,
        "initialBackoff": "3600s",
        "maxBackoff": "3600s",
        "backoffMultiplier": 1,
        "retryableStatusCodes": ["RESOURCE_EXHAUSTED"],
    }
    config = {"methodConfig": [{"name": [{}], "retryPolicy": policy}]}
    with (
        running(MemoryPublisher(), bounds=Bounds(rates=RateLimits(20.0, 1))) as gateway,
        grpc.insecure_channel(gateway.built.address, [("grpc.service_config", json.dumps(config))]) as channel,
    ):
        stub = EventServiceStub(channel)
        for _ in range(3):
            stub.Publish(PublishRequest(entries=[VALID]), timeout=300, wait_for_ready=True)
        assert len(gateway.publisher.stored) == 3
