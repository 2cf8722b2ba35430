"""Publish as a whole: order, stamps, batch errors, an unavailable Kafka, size, health and reflection."""

from collections.abc import Iterator, Sequence

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from grpc_status import rpc_status

from crossrec.events.v1.events_pb2 import (
    Entry,
    ItemUpdate,
    PublishRequest,
    ScenarioUpdate,
    UserErasure,
)
from services.errors import ConfigurationError, StorageRefused
from services.events.codec import decode
from services.gateway.main import EVENT_SERVICE, build_server
from services.kafka.publisher import Confirmation, MemoryPublisher, OutgoingRecord
from services.kafka.refusals import RecordTooLarge
from tests.contract.event_gateway import NOW_S, Gateway, event_service, running

VALID = Entry(scenario_update=ScenarioUpdate(scenario_id="tv"))


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    with running(MemoryPublisher()) as gateway:
        yield gateway


def failing(gateway: Gateway, request: PublishRequest, timeout: float = 30) -> grpc.RpcError:
    with pytest.raises(grpc.RpcError) as caught:
        gateway.stub.Publish(request, timeout=timeout, wait_for_ready=True)
    return caught.value


def details(error: grpc.RpcError) -> tuple[BadRequest, ErrorInfo]:
    """The details that must be there for a bad request; empty ones where missing."""
    status = rpc_status.from_call(error)
    bad_request, info = BadRequest(), ErrorInfo()
    for detail in status.details if status else ():
        detail.Unpack(bad_request)
        detail.Unpack(info)
    return bad_request, info


def test_results_follow_the_order_of_the_entries(gateway: Gateway) -> None:
    """An invalid entry is rejected at its position and does not affect the others."""
    entries = [
        Entry(user_erasure=UserErasure(user_id="u", event_id="first")),
        Entry(),
        Entry(item_update=ItemUpdate(item_id="i", event_id="third")),
        Entry(user_erasure=UserErasure()),
    ]
    results = gateway.publish(*entries)
    assert [result.accepted.event_id or result.rejected.field for result in results] == [
        "first",
        "entry",
        "third",
        "user_erasure.user_id",
    ]
    assert [record.key for record in gateway.publisher.stored] == [b"u", b"i"]
    assert [record.topic for record in gateway.publisher.stored] == ["crossrec.behavior", "crossrec.items"]


def test_missing_id_and_time_are_stamped_and_stored(gateway: Gateway) -> None:
    """The answer names the id that the gateway made; the stored entry carries it and the gateway's time."""
    (result,) = gateway.publish(VALID)
    assert result.accepted.event_id == "made"
    (record,) = gateway.publisher.stored
    stamped = ScenarioUpdate(scenario_id="tv", event_id="made", time=Timestamp(seconds=int(NOW_S)))
    assert decode(record.value, record.headers) == Entry(scenario_update=stamped)


def test_a_thousand_entries_are_accepted(gateway: Gateway) -> None:
    """The longest batch."""
    assert len(gateway.publish(*[VALID] * 1000)) == 1000


def test_a_batch_of_rejected_entries_needs_no_kafka(gateway: Gateway) -> None:
    """Rejections are answered even while Kafka is unavailable."""
    gateway.publisher.failures = {0: TimeoutError()}
    (result,) = gateway.publish(Entry())
    assert result.rejected.field == "entry"


@pytest.mark.parametrize("count", [0, 1001], ids=["empty", "too long"])
def test_batches_out_of_bounds_fail_as_a_whole(gateway: Gateway, count: int) -> None:
    """INVALID_ARGUMENT that names the field, and nothing is stored."""
    error = failing(gateway, PublishRequest(entries=[VALID] * count))
    assert error.code() == grpc.StatusCode.INVALID_ARGUMENT
    bad_request, info = details(error)
    (violation,) = bad_request.field_violations
    assert violation.field == "entries"
    assert f"has {count} entries" in violation.description
    assert (info.reason, info.domain) == ("INVALID_REQUEST", "crossrec")
    assert gateway.publisher.stored == []


def test_an_unconfirmed_record_makes_the_batch_unavailable(gateway: Gateway) -> None:
    """A single entry without a confirmation is enough: nothing is acknowledged."""
    gateway.publisher.failures = {1: TimeoutError("secret of the client library")}
    error = failing(gateway, PublishRequest(entries=[VALID] * 3))
    assert error.code() == grpc.StatusCode.UNAVAILABLE
    assert "1 of 3 entries" in error.details()
    assert "secret" not in error.details()
    assert details(error)[1].reason == "UNAVAILABLE"


def test_an_entry_that_is_too_large_for_its_topic_is_rejected_by_itself(gateway: Gateway) -> None:
    """The others are stored, and the reason has size and limit; UNAVAILABLE would have it sent again for ever."""
    gateway.publisher.failures = {1: RecordTooLarge("crossrec.behavior", 2000, 1000)}
    first, large, last = gateway.publish(VALID, VALID, VALID)
    assert ("accepted", "accepted") == (first.WhichOneof("result"), last.WhichOneof("result"))
    reason = "is 2000 bytes long as a record, topic crossrec.behavior takes at most 1000 (max.message.bytes)"
    assert ("entry", reason) == (large.rejected.field, large.rejected.reason)


def test_what_kafka_refuses_for_good_is_not_to_be_sent_again(gateway: Gateway) -> None:
    """FAILED_PRECONDITION: an operator has to act first; the text has what is refused and what to do."""
    refusal = StorageRefused(
        "Kafka refuses to store records in topic t (TopicAuthorizationFailedError): a right is missing"
    )
    gateway.publisher.failures = {0: TimeoutError("late"), 1: refusal}
    error = failing(gateway, PublishRequest(entries=[VALID] * 3))
    assert error.code() == grpc.StatusCode.FAILED_PRECONDITION
    assert "2 of 3 entries are not stored: Kafka refuses to store records in topic t" in error.details()
    assert details(error)[1].reason == "STORAGE_REFUSED"


class Recorder(MemoryPublisher):
    """Records the time-outs that it is called with."""

    def __init__(self) -> None:
        super().__init__()
        self.timeouts_s: list[float] = []

    def send(self, records: Sequence[OutgoingRecord], timeout_s: float) -> list[Confirmation]:
        self.timeouts_s.append(timeout_s)
        return super().send(records, timeout_s)


def test_kafka_gets_the_shorter_of_its_time_out_and_the_callers_deadline() -> None:
    """A caller with a short deadline gets UNAVAILABLE before it; others wait for the gateway's time-out."""
    recorder = Recorder()
    request = PublishRequest(entries=[VALID])
    with running(recorder) as gateway:
        gateway.stub.Publish(request, timeout=5, wait_for_ready=True)
        gateway.stub.Publish(request, timeout=300)
        gateway.stub.Publish(request)
    short_deadline, long_deadline, no_deadline = recorder.timeouts_s
    assert 3 < short_deadline < 5
    assert (long_deadline, no_deadline) == (10.0, 10.0)


def test_an_unexpected_error_is_internal_with_a_request_id() -> None:
    """The caller gets a request id, and nothing of the error's text."""

    class Broken(MemoryPublisher):
        def send(self, records: Sequence[OutgoingRecord], timeout_s: float) -> list[Confirmation]:
            raise KeyError("secret", records, timeout_s)

    with running(Broken()) as gateway:
        error = failing(gateway, PublishRequest(entries=[VALID]))
    assert error.code() == grpc.StatusCode.INTERNAL
    request_id = details(error)[1].metadata["request_id"]
    assert error.details() == f"internal error, request id {request_id}"


def test_requests_up_to_eight_mebibytes_are_received(gateway: Gateway) -> None:
    """More than gRPC's default of 4 MiB, with a bound: a larger one is RESOURCE_EXHAUSTED."""
    update = ItemUpdate(item_id="i", description="x" * 16_384)
    entries = [Entry(item_update=update)] * 400
    assert len(gateway.publish(*entries)) == 400
    error = failing(gateway, PublishRequest(entries=entries + entries))
    assert error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED


def test_a_taken_port_is_an_error(gateway: Gateway) -> None:
    """Two gateways never share a port silently."""
    with pytest.raises(ConfigurationError, match="is the port taken"):
        build_server(event_service(gateway.publisher), gateway.built.address)


@pytest.mark.parametrize("service", ["", EVENT_SERVICE], ids=["server", "service"])
def test_health_answers_until_shutdown(gateway: Gateway, service: str) -> None:
    """SERVING from the start, NOT_SERVING as soon as the server begins to drain."""
    health = health_pb2_grpc.HealthStub(gateway.channel)
    request = health_pb2.HealthCheckRequest(service=service)
    assert health.Check(request, timeout=300, wait_for_ready=True).status == health_pb2.HealthCheckResponse.SERVING
    gateway.built.health.enter_graceful_shutdown()
    assert health.Check(request, timeout=300).status == health_pb2.HealthCheckResponse.NOT_SERVING


def test_reflection_lists_the_services(gateway: Gateway) -> None:
    """Tools find the contract without the proto files."""
    stub = reflection_pb2_grpc.ServerReflectionStub(gateway.channel)
    request = reflection_pb2.ServerReflectionRequest(list_services="")
    (answer,) = stub.ServerReflectionInfo(iter([request]), timeout=300, wait_for_ready=True)
    assert {service.name for service in answer.list_services_response.service} == {
        "crossrec.events.v1.EventService",
        "grpc.health.v1.Health",
        "grpc.reflection.v1alpha.ServerReflection",
    }
