"""Streams of the Python clients: an answer for each entry, whatever happens to the gateway; for both kinds."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import grpc
import pytest

from crossrec.events.v1.events_pb2 import Entry, ScenarioUpdate
from services.client import CallFailed, InvalidArgument, ServiceUnavailable
from services.kafka.publisher import MemoryPublisher, OutgoingRecord
from tests.chaos.proxy import Proxy
from tests.contract import event_gateway, front, python_clients
from tests.contract.event_gateway import Gateway
from tests.contract.front import Front


@pytest.fixture(params=["sync", "async"])
def clients(request: pytest.FixtureRequest) -> Iterator[Any]:
    with python_clients.client_factory(request.param) as clients:
        yield clients


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    with event_gateway.running(MemoryPublisher()) as gateway:
        yield gateway


@pytest.fixture
def before(gateway: Gateway) -> Iterator[Front]:
    with front.serving(gateway.built.address) as before:
        yield before


def scenario(name: object) -> Entry:
    return Entry(scenario_update=ScenarioUpdate(scenario_id=str(name)))


def names(stored: list[OutgoingRecord]) -> list[str]:
    return [record.key.decode() for record in stored]


def event_ids(stored: list[OutgoingRecord]) -> list[str]:
    return [Entry.FromString(record.value).scenario_update.event_id for record in stored]


@contextmanager
def cutting(proxy: Proxy) -> Iterator[list[float]]:
    """Cuts connections repeatedly, for a moment each; the list holds the times of the cuts in seconds."""
    cuts, over = list[float](), threading.Event()

    def cut() -> None:
        while not over.wait(0.3):
            proxy.cut()
            over.wait(0.02)
            proxy.heal()
            cuts.append(time.monotonic())

    thread = threading.Thread(target=cut)
    thread.start()
    try:
        yield cuts
    finally:
        over.set()
        thread.join()


def test_every_entry_has_its_answer(gateway: Gateway, clients: Any) -> None:
    """More entries than the window holds, one of them invalid; stored in the order in which they were published."""
    entries = [scenario(number) for number in range(50)]
    with clients.events(gateway.built.address) as events, events.stream(window=8) as stream:
        futures = [stream.publish(entry) for entry in entries]
        bad = stream.publish(scenario(""), scenario("last"))
    assert [entry.scenario_update.event_id for entry in entries] == [
        future.result()[0].accepted.event_id for future in futures
    ]
    assert ["rejected", "accepted"] == [result.WhichOneof("result") for result in bad.result()]
    assert [*map(str, range(50)), "last"] == names(gateway.publisher.stored)


def test_unanswered_entries_are_sent_again_when_the_gateway_is_back(
    gateway: Gateway, before: Front, clients: Any
) -> None:
    """Under the same ids and in the same order, to another gateway here; answered entries are not sent again."""
    with (
        event_gateway.running(MemoryPublisher()) as other,
        clients.events(before.address) as events,
        events.stream() as stream,
    ):
        assert stream.publish(scenario("answered")).result()[0].HasField("accepted")
        gateway.publisher.holding = True
        futures = [stream.publish(scenario(number)) for number in range(3)]
        assert 3 == gateway.publisher.wait_for_held(3)
        before.backend = other.built.address
        gateway.built.server.stop(0).wait()
        ids = [future.result()[0].accepted.event_id for future in futures]
    assert ["0", "1", "2"] == names(other.publisher.stored)
    assert ids == event_ids(other.publisher.stored)


def test_a_full_or_unavailable_gateway_is_retried(gateway: Gateway, before: Front, clients: Any) -> None:
    before.fail("PublishStream", grpc.StatusCode.UNAVAILABLE, 1)
    before.faults["PublishStream"] += [(grpc.StatusCode.RESOURCE_EXHAUSTED, (("grpc-retry-pushback-ms", "1"),))]
    with clients.events(before.address) as events, events.stream() as stream:
        assert stream.publish(scenario("tv")).result()[0].HasField("accepted")
    assert ["tv"] == names(gateway.publisher.stored)


def test_a_gateway_that_ends_the_stream_during_sends_is_retried(gateway: Gateway, before: Front, clients: Any) -> None:
    """Also where grpc.aio, in the middle of a message, raises an error of its own in place of the gateway's status."""
    before.fail("PublishStream", grpc.StatusCode.RESOURCE_EXHAUSTED, 6, ("grpc-retry-pushback-ms", "1"))
    with clients.events(before.address) as events, events.stream() as stream:
        futures = [stream.publish(scenario(number)) for number in range(100)]
        assert all(future.result()[0].HasField("accepted") for future in futures)
    assert [*map(str, range(100))] == names(gateway.publisher.stored)


def test_cut_connections_lose_no_entry(gateway: Gateway, clients: Any) -> None:
    """Repeated cuts during sends; an entry that is stored twice has the same id, and first copies are in order."""
    published = 0
    with (
        Proxy(int(gateway.built.address.rpartition(":")[2])) as proxy,
        clients.events(f"127.0.0.1:{proxy.port}") as events,
        events.stream(reconnect_timeout_s=300) as stream,
        cutting(proxy) as cuts,
    ):
        while len(cuts) < 10:
            futures = [stream.publish(scenario(published + number)) for number in range(100)]
            assert all(future.result()[0].HasField("accepted") for future in futures)
            published += len(futures)
    stored = gateway.publisher.stored
    first_times = dict.fromkeys(zip(names(stored), event_ids(stored), strict=True))
    assert [*map(str, range(published))] == [name for name, _ in first_times]


def test_the_reconnect_timeout_ends_the_stream(before: Front, clients: Any) -> None:
    """After it futures fail, and so do `publish` and leaving the `with` block."""
    before.fail("PublishStream", grpc.StatusCode.UNAVAILABLE, 100)
    with (
        clients.events(before.address) as events,
        pytest.raises(ServiceUnavailable),
        events.stream(reconnect_timeout_s=0.2) as stream,
    ):
        with pytest.raises(ServiceUnavailable):
            stream.publish(scenario("tv")).result()
        with pytest.raises(ServiceUnavailable):
            _result(stream.publish(scenario("tv")))


def test_an_error_that_cannot_be_retried_ends_the_stream(gateway: Gateway, clients: Any) -> None:
    with clients.events(gateway.built.address) as events, pytest.raises(InvalidArgument), events.stream() as stream:
        stream.publish(*[scenario("tv")] * 1001).result()


def test_an_error_of_the_caller_leaves_the_stream_at_once(gateway: Gateway, clients: Any) -> None:
    """Although answers are missing; their futures fail."""
    gateway.publisher.holding = True
    with (
        clients.events(gateway.built.address) as events,
        pytest.raises(RuntimeError, match="of the caller"),
        events.stream() as stream,
    ):
        future = stream.publish(scenario("tv"))
        assert 1 == gateway.publisher.wait_for_held(1)
        raise RuntimeError("of the caller")
    with pytest.raises(CallFailed, match="CANCELLED"):
        future.result()


def test_a_closed_stream_rejects_entries(gateway: Gateway, clients: Any) -> None:
    with clients.events(gateway.built.address) as events:
        with events.stream() as stream:
            pass
        with pytest.raises(ValueError, match="publish: the stream is closed"):
            _result(stream.publish(scenario("tv")))
    assert [] == gateway.publisher.stored


def _result(published: Any) -> Any:
    return published.result()
