"""PublishStream: answers by sequence number, flow control, errors, bounds and the end."""

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import grpc
import pytest
from google.rpc.error_details_pb2 import ErrorInfo
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_status import rpc_status

from crossrec.events.v1.events_pb2 import Entry, PublishStreamRequest, ScenarioUpdate
from services.errors import StorageRefused
from services.gateway.pressure import PendingBudget, RateLimits
from services.gateway.stream import StreamLimits
from services.kafka.publisher import Confirmation, MemoryPublisher, OutgoingRecord
from services.kafka.refusals import RecordTooLarge
from services.server.error_interceptor import RETRY_PUSHBACK
from services.server.security.caller import Scope
from services.server.security.protection import open_protection
from tests.contract import secured
from tests.contract.event_gateway import INTAKE_CONFIG, Bounds, Gateway, running
from tests.contract.event_stream import Stream, TokenStream, scenario
from tests.waiting import wait_until

VALID = Entry(scenario_update=ScenarioUpdate(scenario_id="tv"))


class Peak(MemoryPublisher):
    """Confirms when the test releases it, and records its peak of held records."""

    def __init__(self) -> None:
        super().__init__(holding=True)
        self.peak = 0

    def send(self, records: Sequence[OutgoingRecord], timeout_s: float) -> list[Confirmation]:
        confirmations = super().send(records, timeout_s)
        self.peak = max(self.peak, self.wait_for_held(0))
        return confirmations


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    with running(MemoryPublisher()) as gateway:
        yield gateway


@contextmanager
def slow(bounds: Bounds | None = None, kafka_timeout_s: float = 30.0) -> Iterator[Gateway]:
    """A gateway whose Kafka confirms only when the test releases it."""
    publisher = MemoryPublisher(holding=True)
    with running(publisher, replace(INTAKE_CONFIG, kafka_timeout_s=kafka_timeout_s), bounds) as gateway:
        try:
            yield gateway
        finally:
            publisher.close(0.0)


def test_every_request_is_answered_by_its_number_and_stored_in_order(gateway: Gateway) -> None:
    """The stream ends with OK after the client's last request and all answers."""
    stream = Stream(gateway)
    for number in range(100):
        stream.send(number, scenario(number))
    stream.done()
    answers = list(stream.call)
    assert {answer.sequence: [r.accepted.event_id for r in answer.results] for answer in answers} == {
        number: [f"e{number}"] for number in range(100)
    }
    assert [int(record.key) for record in gateway.publisher.stored] == list(range(100))
    assert stream.call.code() == grpc.StatusCode.OK


def test_a_batch_has_one_result_per_entry_in_order(gateway: Gateway) -> None:
    """An invalid entry is rejected with field and reason; the other entries and the stream continue."""
    stream = Stream(gateway)
    stream.send(7, scenario(1), Entry(), Entry(scenario_update=ScenarioUpdate()), scenario(2))
    results = stream.answer().results
    assert [result.accepted.event_id or result.rejected.field for result in results] == [
        "e1",
        "entry",
        "scenario_update.scenario_id",
        "e2",
    ]
    assert results[2].rejected.reason == "is empty"
    stream.send(8, VALID)
    assert stream.answer().sequence == 8


def test_an_answer_comes_when_kafka_has_stored_it_and_not_before() -> None:
    """Requests do not wait for answers; answers come in the order of confirmation."""
    with slow() as gateway:
        stream = Stream(gateway)
        stream.send(1, scenario(1))
        stream.send(2, Entry())
        assert stream.answer().sequence == 2
        gateway.publisher.wait_for_held(1)
        gateway.publisher.release()
        assert stream.answer().sequence == 1


def test_what_kafka_does_not_confirm_in_time_is_unconfirmed_and_the_stream_continues() -> None:
    """The client may send it again with the same id, over the same stream."""
    with slow(kafka_timeout_s=0.2) as gateway:
        stream = Stream(gateway)
        stream.send(1, scenario(1), Entry())
        unconfirmed, rejected = stream.answer().results
        assert unconfirmed.unconfirmed.event_id == "e1"
        assert unconfirmed.unconfirmed.reason == "Kafka has not confirmed it (TimeoutError)"
        assert rejected.rejected.field == "entry"
        gateway.publisher.release()
        gateway.publisher.holding = False
        stream.send(2, scenario(1))
        assert stream.answer().results[0].accepted.event_id == "e1"


def test_on_a_stream_too_large_entries_are_rejected(gateway: Gateway) -> None:
    """By themselves; the stream stays open."""
    gateway.publisher.failures = {0: RecordTooLarge("crossrec.scenarios", 2000, 1000)}
    stream = Stream(gateway)
    stream.send(1, scenario(1), scenario(2))
    large, stored = stream.answer().results
    assert ("entry", "e2") == (large.rejected.field, stored.accepted.event_id)
    gateway.publisher.failures = {}
    stream.send(2, scenario(3))
    assert "e3" == stream.answer().results[0].accepted.event_id


@pytest.mark.parametrize("closed", [False, True])
def test_what_kafka_refuses_for_good_ends_the_stream(gateway: Gateway, closed: bool) -> None:
    """After the answer, whether or not the client has closed its side: it must not go on, or try again."""
    gateway.publisher.failures = {0: StorageRefused("Kafka refuses to store records in topic t: a right is missing")}
    stream = Stream(gateway)
    stream.send(1, scenario(1), scenario(2))
    if closed:
        stream.done()
    refused, stored = stream.answer().results
    assert "a right is missing" in refused.unconfirmed.reason
    assert stored.accepted.event_id == "e2"
    assert grpc.StatusCode.FAILED_PRECONDITION == stream.error().code()


def test_a_failed_record_is_unconfirmed_at_once(gateway: Gateway) -> None:
    """The answer has no text of the client library."""
    gateway.publisher.failures = {0: KeyError("secret")}
    stream = Stream(gateway)
    stream.send(1, scenario(1), scenario(2))
    failed, stored = stream.answer().results
    assert "secret" not in failed.unconfirmed.reason
    assert stored.accepted.event_id == "e2"


@pytest.mark.parametrize(
    "bounds",
    [
        Bounds(stream=StreamLimits(window=5)),
        Bounds(budget=PendingBudget(1_000_000, 5)),
        Bounds(budget=PendingBudget(130, 50)),
    ],
    ids=["window", "records", "bytes"],
)
def test_while_too_much_is_unconfirmed_nothing_more_is_read(bounds: Bounds) -> None:
    """The stream waits instead of failing, and continues as soon as Kafka confirms."""
    publisher = Peak()
    with running(publisher, bounds=bounds) as gateway, ThreadPoolExecutor(1) as pool:
        stream = Stream(gateway)
        for number in range(100, 150):
            stream.send(number, scenario(number))
        stream.done()
        answers = pool.submit(list, stream.call)
        for stored in range(0, 50, 5):
            assert publisher.wait_for_held(5) == 5
            assert len(publisher.stored) == stored
            publisher.release()
        assert len(answers.result(300)) == 50
    assert publisher.peak == 5
    assert bounds.budget.pending == (0, 0)


def test_without_room_for_long_entries_are_unconfirmed_and_the_stream_continues() -> None:
    """None of them is stored."""
    with slow(Bounds(PendingBudget(1_000_000, 1)), kafka_timeout_s=0.2) as gateway:
        stream = Stream(gateway)
        stream.send(1, scenario(1))
        stream.send(2, scenario(2))
        reasons = {
            answer.sequence: answer.results[0].unconfirmed.reason for answer in (stream.answer(), stream.answer())
        }
        assert "the budget of pending records is full" in reasons[2]
        gateway.publisher.holding = False
        gateway.publisher.release()
        stream.send(3, scenario(3))
        assert stream.answer().results[0].accepted.event_id == "e3"
        assert [record.key for record in gateway.publisher.stored] == [b"1", b"3"]


def test_a_client_over_its_rate_is_slowed_down(monkeypatch: pytest.MonkeyPatch) -> None:
    """The stream is read more slowly; no request is rejected."""
    rates = RateLimits(200.0, 1)
    waits: list[float] = []
    granted = rates.delay_s

    def delay_s(client: str, events: int) -> float:
        waits.append(granted(client, events))
        return waits[-1]

    monkeypatch.setattr(rates, "delay_s", delay_s)
    with running(MemoryPublisher(), bounds=Bounds(rates=rates)) as gateway:
        stream = Stream(gateway)
        for number in range(10):
            stream.send(number, scenario(number))
        stream.done()
        assert len(list(stream.call)) == 10
    assert any(waits)


@pytest.mark.parametrize("count", [0, 1001], ids=["empty", "too long"])
def test_a_request_out_of_bounds_ends_the_stream_after_what_came_before(count: int) -> None:
    """INVALID_ARGUMENT through the interceptor that maps all errors."""
    with slow() as gateway:
        stream = Stream(gateway)
        stream.send(1, scenario(1))
        stream.send(2, *[VALID] * count)
        gateway.publisher.wait_for_held(1)
        gateway.publisher.release()
        assert stream.answer().sequence == 1
        error = stream.error()
        assert error.code() == grpc.StatusCode.INVALID_ARGUMENT
        assert error.details() == f"entries: has {count} entries, must have 1 to 1000"


def test_an_unexpected_error_ends_the_stream_as_internal() -> None:
    """With a request id and without its text."""

    class Broken(MemoryPublisher):
        def send(self, records: Sequence[OutgoingRecord], timeout_s: float) -> list[Confirmation]:
            raise KeyError("secret", records, timeout_s)

    budget = PendingBudget(1_000_000, 5)
    with running(Broken(), bounds=Bounds(budget)) as gateway:
        stream = Stream(gateway)
        stream.send(1, VALID)
        error = stream.error()
    assert error.code() == grpc.StatusCode.INTERNAL
    status, info = rpc_status.from_call(error), ErrorInfo()
    assert status is not None
    status.details[0].Unpack(info)
    assert error.details() == f"internal error, request id {info.metadata['request_id']}"
    assert budget.pending == (0, 0)


def test_open_streams_leave_batches_and_health_alone_and_are_bounded() -> None:
    """With the maximum of streams, all blocked, one more is rejected with a delay; everything else is served."""
    with slow(Bounds(max_streams=3, max_batches=1)) as gateway:
        streams = [Stream(gateway) for _ in range(3)]
        for number, stream in enumerate(streams):
            stream.send(number, scenario(number))
        gateway.publisher.wait_for_held(3)
        error = Stream(gateway).error()
        assert (error.code(), error.details()) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "3 streams are open already")
        assert dict(error.trailing_metadata())[RETRY_PUSHBACK] == "1000"
        gateway.publisher.holding = False
        gateway.publish(VALID)  # also releases what is held
        health = health_pb2_grpc.HealthStub(gateway.channel)
        assert health.Check(health_pb2.HealthCheckRequest(), timeout=300).status == 1


def test_a_stream_that_ends_makes_room_for_another() -> None:
    """Whether it finishes or is cancelled."""
    with running(MemoryPublisher(), bounds=Bounds(max_streams=1)) as gateway:
        for end in ("done", "cancel", "done"):
            stream = opened(gateway)
            if end == "done":
                stream.done()
                assert list(stream.call) == []
            else:
                stream.call.cancel()


def opened(gateway: Gateway) -> Stream:
    """A stream with a first answer, once a place is free: the gateway is notified of a cancellation a little later."""
    while True:
        stream = Stream(gateway)
        stream.send(1, VALID)
        try:
            stream.answer()
        except grpc.RpcError as error:
            assert error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        else:
            return stream


def test_a_client_leaves_streams_to_others(tmp_path: Path) -> None:
    """With all of its own open, one more is rejected with a delay, and another client's is answered."""
    tokens = secured.listed(tmp_path / "tokens", shop=frozenset(Scope), app=frozenset(Scope))
    bounds, protection = Bounds(max_streams=4, max_streams_per_client=2), open_protection(secured.settings(tmp_path))
    with running(MemoryPublisher(), bounds=bounds, protection=protection) as gateway:
        shop = [TokenStream(gateway.channel, tokens["shop"]) for _ in range(2)]
        for stream in shop:
            stream.send(1, VALID)
            assert stream.answer().sequence == 1
        error = TokenStream(gateway.channel, tokens["shop"]).error()
        assert (error.code(), error.details()) == (
            grpc.StatusCode.RESOURCE_EXHAUSTED,
            "2 streams of this client are open already",
        )
        app = TokenStream(gateway.channel, tokens["app"])
        app.send(1, VALID)
        assert app.answer().sequence == 1


def test_a_stream_without_requests_ends_with_ok() -> None:
    """Once everything is answered; its place is free."""
    bounds = Bounds(stream=StreamLimits(window=5, idle_s=0.2), max_streams=1)
    with slow(bounds) as gateway:
        stream = Stream(gateway)
        stream.send(1, VALID)
        assert gateway.publisher.wait_for_held(1) == 1
        threading.Event().wait(0.5)
        gateway.publisher.holding = False
        gateway.publisher.release()
        assert [answer.sequence for answer in stream.call] == [1]
        assert stream.call.code() == grpc.StatusCode.OK
        wait_until(lambda: not gateway.service.streams)


def test_a_client_that_reads_no_answers_is_disconnected() -> None:
    """Its place and its memory are freed."""
    entry = Entry(scenario_update=ScenarioUpdate(scenario_id="tv", event_id="x" * 128))
    request = PublishStreamRequest(entries=[entry] * 1000)
    bounds = Bounds(stream=StreamLimits(window=2000, stall_s=0.2), max_streams=1)
    with running(MemoryPublisher(), bounds=bounds) as gateway:
        call = gateway.stub.PublishStream(iter(lambda: request, None), timeout=300, wait_for_ready=True)
        next(call)
        opened(gateway)
        with pytest.raises(grpc.RpcError) as caught:
            list(call)
        assert caught.value.code() == grpc.StatusCode.CANCELLED


def test_a_gateway_that_stops_answers_what_it_has_read_and_ends_the_stream() -> None:
    """UNAVAILABLE: the client opens another stream elsewhere."""
    with slow() as gateway:
        idle, busy = Stream(gateway), Stream(gateway)
        idle.send(1, Entry())
        idle.answer()
        busy.send(2, scenario(2))
        gateway.publisher.wait_for_held(1)
        gateway.service.stop()
        assert idle.error().code() == grpc.StatusCode.UNAVAILABLE
        gateway.publisher.release()
        assert busy.answer().results[0].accepted.event_id == "e2"
        assert busy.error().code() == grpc.StatusCode.UNAVAILABLE
        assert Stream(gateway).error().code() == grpc.StatusCode.UNAVAILABLE
