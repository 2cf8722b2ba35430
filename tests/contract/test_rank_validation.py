"""Every rule of the ranking contract, through a real channel: what is rejected, with which field and reason."""

from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from grpc_status import rpc_status

from crossrec.ranking.v1.ranking_pb2 import RankOptions, RankRequest, RequestContext
from services.ranking.service import MAX_REQUEST_BYTES, RANKING_SERVICE
from services.store.memory import MemoryRowStore
from tests.contract.rank_server import NOW_S, History, RankServer, running

NAN, INF = float("nan"), float("inf")
DAY_S = 24 * 3600


def request(**fields: Any) -> RankRequest:
    """The smallest valid request, with these fields replaced."""
    return RankRequest(**{"user_id": "u", "scenario_id": "tv", "item_ids": ["tea"], **fields})


def attributes(**values: float) -> RequestContext:
    return RequestContext(attributes=values)


def time(seconds: int, nanos: int = 0) -> Timestamp:
    return Timestamp(seconds=seconds, nanos=nanos)


@pytest.fixture(scope="module")
def server() -> Iterator[RankServer]:
    store = MemoryRowStore()
    History(store).scenarios("tv", "shelf")
    with running(store) as server:
        yield server


@pytest.mark.parametrize(
    ("bad", "field", "reason"),
    [
        pytest.param(request(user_id=""), "user_id", "is empty", id="no user"),
        pytest.param(request(user_id="u" * 129), "user_id", "is 129 bytes long, at most 128", id="long user"),
        pytest.param(
            request(user_id="ü" * 64 + "u"), "user_id", "is 129 bytes long, at most 128", id="user of wide letters"
        ),
        pytest.param(
            request(scenario_id="s" * 129), "scenario_id", "is 129 bytes long, at most 128", id="long scenario"
        ),
        pytest.param(request(item_ids=[]), "item_ids", "is empty", id="no candidates"),
        pytest.param(
            request(item_ids=[str(n) for n in range(2001)]),
            "item_ids",
            "2001 candidates, at most 2000",
            id="2001 items",
        ),
        pytest.param(request(item_ids=["a", ""]), "item_ids[1]", "is empty", id="empty candidate"),
        pytest.param(
            request(item_ids=["i" * 129]), "item_ids[0]", "is 129 bytes long, at most 128", id="long candidate"
        ),
        pytest.param(request(user_id="a\0"), "user_id", "holds a control character, U+0000", id="NUL in the user"),
        pytest.param(request(scenario_id="\u202etv"), "scenario_id", "holds a format character", id="RTL scenario"),
        pytest.param(request(item_ids=["a", "b\x1f"]), "item_ids[1]", "U+001F", id="separator in a candidate"),
        pytest.param(request(item_ids=["a", "b", "a"]), "item_ids[2]", "repeats", id="repeated candidate"),
        pytest.param(request(top_k=2001), "top_k", "is 2001, at most 2000", id="top_k of 2001"),
        pytest.param(request(top_k=2**32 - 1), "top_k", "at most 2000", id="largest top_k"),
        pytest.param(request(request_time=Timestamp()), "request_time", "before 1980", id="time of 1970"),
        pytest.param(
            request(request_time=time(315_532_799, 999_999_999)), "request_time", "before 1980", id="end of 1979"
        ),
        pytest.param(
            request(request_time=time(int(NOW_S) + DAY_S, 1_000_000)), "request_time", "future", id="over a day ahead"
        ),
        pytest.param(request(request_time=time(253_402_300_799)), "request_time", "future", id="year 9999"),
        pytest.param(request(request_time=time(int(NOW_S), -1)), "request_time", "-1 nanos", id="negative nanos"),
        pytest.param(
            request(request_time=time(int(NOW_S), 10**9)), "request_time", "1000000000 nanos", id="nanos of a second"
        ),
        pytest.param(
            request(context=attributes(x=1.0)), 'context.attributes["x"]', "declared are: hour", id="undeclared"
        ),
        pytest.param(
            request(context=attributes(weight=1.0)), 'context.attributes["weight"]', "not declared", id="of items"
        ),
        pytest.param(
            request(context=attributes(**{'"': 1.0})), 'context.attributes["\\""]', "not declared", id="quoted name"
        ),
        pytest.param(
            request(context=attributes(hour=NAN)), 'context.attributes["hour"]', "nan, must be finite", id="NaN"
        ),
        pytest.param(
            request(context=attributes(hour=-INF)), 'context.attributes["hour"]', "must be finite", id="infinite"
        ),
        pytest.param(
            request(options=RankOptions(diversity=-0.1)), "options.diversity", "is -0.1, must be 0 to 1", id="negative"
        ),
        pytest.param(
            request(options=RankOptions(diversity=1.1)), "options.diversity", "is 1.1, must be 0 to 1", id="above 1"
        ),
        pytest.param(request(options=RankOptions(diversity=NAN)), "options.diversity", "is nan", id="diversity NaN"),
        pytest.param(request(options=RankOptions(diversity=INF)), "options.diversity", "is inf", id="diversity inf"),
    ],
)
def test_a_request_that_breaks_a_rule_is_rejected(
    server: RankServer, bad: RankRequest, field: str, reason: str
) -> None:
    """INVALID_ARGUMENT, with the field and the reason as google.rpc.BadRequest."""
    error = server.refused(bad)
    assert error.code() == grpc.StatusCode.INVALID_ARGUMENT
    status, violations, info = rpc_status.from_call(error), BadRequest(), ErrorInfo()
    assert status is not None
    assert status.details[0].Unpack(violations)
    assert status.details[1].Unpack(info)
    (violation,) = violations.field_violations
    assert violation.field == field
    assert reason in violation.description
    assert error.details() == f"{field}: {violation.description}"
    assert (info.reason, info.domain) == ("INVALID_REQUEST", "crossrec")


@pytest.mark.parametrize(
    "good",
    [
        pytest.param(request(), id="smallest"),
        pytest.param(request(user_id="u" * 128), id="user of 128 bytes"),
        pytest.param(request(scenario_id="s" * 128), id="scenario of 128 bytes"),
        pytest.param(request(scenario_id=""), id="scenario not named"),
        pytest.param(request(item_ids=["i" * 128]), id="candidate of 128 bytes"),
        pytest.param(request(item_ids=[str(n) for n in range(2000)]), id="2000 candidates"),
        pytest.param(request(item_ids=["A", "a", "a "]), id="alike and distinct candidates"),
        pytest.param(request(top_k=2000), id="more wanted than candidates"),
        pytest.param(request(request_time=time(315_532_800)), id="time of 1980"),
        pytest.param(request(request_time=time(int(NOW_S) + DAY_S)), id="a day ahead"),
        pytest.param(request(request_time=time(int(NOW_S) - 1, 999_999_999)), id="most nanos"),
        pytest.param(request(context=attributes(hour=21.5)), id="declared attribute"),
        pytest.param(request(context=attributes(hour=-1.7e308)), id="finite in 64 bits alone"),
        pytest.param(request(options=RankOptions(diversity=0)), id="no diversity"),
        pytest.param(request(options=RankOptions(diversity=1)), id="full diversity"),
    ],
)
def test_values_at_the_bounds_are_valid(server: RankServer, good: RankRequest) -> None:
    """A request at the maximum sizes gets an answer with every candidate."""
    answer = server.rank(good)
    assert sorted(item.item_id for item in answer.items) == sorted(good.item_ids)


def test_the_first_broken_rule_is_named_whatever_the_server_knows() -> None:
    """Requests are validated before any row is read: an invalid one is rejected without scenarios, too."""
    with running(MemoryRowStore()) as server:
        assert server.refused(request(user_id="")).code() == grpc.StatusCode.INVALID_ARGUMENT


def test_bytes_that_are_no_request_are_refused_as_such(server: RankServer) -> None:
    """INVALID_ARGUMENT, not INTERNAL: the fault is the caller's."""
    with pytest.raises(grpc.RpcError) as refused:
        server.channel.unary_unary(f"/{RANKING_SERVICE}/Rank")(b"\x0a\xff", timeout=300, wait_for_ready=True)
    assert grpc.StatusCode.INVALID_ARGUMENT == refused.value.code()
    assert "request: cannot be read" in refused.value.details()
    assert "crossrec.ranking.v1.RankRequest" in refused.value.details()


def test_requests_larger_than_any_valid_one_are_not_read(server: RankServer) -> None:
    """RESOURCE_EXHAUSTED from gRPC itself; the next request is served."""
    large = request(user_id="u" * (MAX_REQUEST_BYTES + 1))
    assert server.refused(large).code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert len(server.rank(request()).items) == 1


@pytest.mark.parametrize("service", ["", RANKING_SERVICE])
def test_health_is_serving(server: RankServer, service: str) -> None:
    """For the whole server and for the ranking service."""
    stub = health_pb2_grpc.HealthStub(server.channel)
    answer = stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=300, wait_for_ready=True)
    assert answer.status == health_pb2.HealthCheckResponse.SERVING


def test_reflection_lists_the_service_and_its_files(server: RankServer) -> None:
    """A client can call the service without the proto files."""
    requests = [
        reflection_pb2.ServerReflectionRequest(list_services=""),
        reflection_pb2.ServerReflectionRequest(file_containing_symbol=RANKING_SERVICE),
    ]
    stub = reflection_pb2_grpc.ServerReflectionStub(server.channel)
    services, files = stub.ServerReflectionInfo(iter(requests), timeout=300, wait_for_ready=True)
    assert RANKING_SERVICE in [service.name for service in services.list_services_response.service]
    assert any(b"RankRequest" in file for file in files.file_descriptor_response.file_descriptor_proto)
