"""An open loop against a server that is a coroutine."""

import asyncio
import time
from collections.abc import Awaitable, Callable

import grpc
import pytest
from grpc.aio import AioRpcError, Metadata

from crossrec.ranking.v1.ranking_pb2 import Degradation, RankResponse
from services.load.client import LoadClient, Offer, open_loop
from services.load.schedule import CONSTANT, Step
from services.load.stats import RunRecord

ANSWER = RankResponse(
    model_version="m/1", experiment_arm="b", degraded=[Degradation(reason="DEGRADATION_REASON_UNKNOWN_USER")]
).SerializeToString()

Serve = Callable[[bytes], Awaitable[bytes]]


def run_client(serve: Serve, *steps: Step, **client: int) -> RunRecord:
    """The record of a client that ran against a server."""

    async def run() -> RunRecord:
        start_s = time.monotonic()
        return await LoadClient([serve], [b"a", b"b", b"c"], **client).run(Offer(steps, 0, start_s, start_s))

    with asyncio.Runner(loop_factory=open_loop) as runner:
        return runner.run(run())


def test_a_stall_of_the_server_delays_every_request_that_was_due_meanwhile() -> None:
    """No coordinated omission: one stall of a second makes a tenth of ten seconds' requests late, not one request.

    The server answers one request at a time and at once, except for a stall of one second.
    """
    turn, served = asyncio.Lock(), 0

    async def serve(_: bytes) -> bytes:
        nonlocal served
        async with turn:
            served += 1
            if served == 50:
                await asyncio.sleep(1)
        return ANSWER

    record = run_client(serve, Step(100, 2, CONSTANT))
    stats = record.steps[0]
    late = [percent for percent, ms in stats.latency.curve() if ms < 500]
    assert 200 == len(stats.latency)
    # Of the 100 requests that were due in the stall, half waited for more than half of it: a quarter of all.
    assert late[-1] < 80
    assert stats.latency.max_ms() > 990


def test_the_service_time_excludes_the_delay_of_the_client() -> None:
    """A blocked client sends late: the latency includes the delay, the service time does not, the lag measures it."""

    async def serve(_: bytes) -> bytes:
        if time.monotonic() < begin + 0.1:
            time.sleep(0.3)
        return ANSWER

    begin = time.monotonic()
    stats = run_client(serve, Step(100, 0.3, CONSTANT)).steps[0]
    assert stats.lag.max_ms() > 200
    assert stats.latency.milliseconds([99])[0] > 200
    assert stats.service.milliseconds([50])[0] < stats.latency.milliseconds([50])[0]


def test_outcomes_are_counted_by_the_fields_of_answers() -> None:
    """Codes, degraded reasons, models and arms; an error has no latency unless it is the deadline."""
    codes = {b"b": grpc.StatusCode.RESOURCE_EXHAUSTED, b"c": grpc.StatusCode.DEADLINE_EXCEEDED}

    async def serve(body: bytes) -> bytes:
        if body in codes:
            raise AioRpcError(codes[body], Metadata(), Metadata())
        return ANSWER

    stats = run_client(serve, Step(300, 0.1, CONSTANT)).steps[0]
    assert {"OK": 10, "RESOURCE_EXHAUSTED": 10, "DEADLINE_EXCEEDED": 10} == dict(stats.codes)
    assert {"DEGRADATION_REASON_UNKNOWN_USER": 10} == dict(stats.degraded)
    assert ({"m/1": 10}, {"b": 10}) == (dict(stats.models), dict(stats.arms))
    assert (20, 30) == (len(stats.latency), len(stats.lag))


def test_clients_that_share_a_run_send_every_request_once() -> None:
    """Client n % shares sends request n, across steps; requests start over when all are sent."""
    sent: list[bytes] = []

    async def serve(body: bytes) -> bytes:
        sent.append(body)
        return ANSWER

    steps = [Step(100, 0.07, CONSTANT), Step(200, 0.04, CONSTANT)]
    records = [run_client(serve, *steps, share=share, shares=2) for share in range(2)]
    records[0].add(records[1])
    assert [7, 8] == [len(stats.latency) for stats in records[0].steps]
    assert 15 == sum(second.offered for second in records[0].seconds.values())
    assert [b"a", b"b", b"c"] * 5 == sorted(sent, key=lambda body: body) or sorted([b"a", b"b", b"c"] * 5) == sorted(
        sent
    )


def test_a_stopped_run_waits_for_sent_requests_and_records_its_duration() -> None:
    begun = asyncio.Event()

    async def serve(_: bytes) -> bytes:
        begun.set()
        await asyncio.sleep(0.05)
        return ANSWER

    async def run() -> RunRecord:
        client, start_s = LoadClient([serve], [b"a"]), time.monotonic()
        steps = [Step(100, 60, CONSTANT), Step(100, 60, CONSTANT)]
        running = asyncio.create_task(client.run(Offer(steps, 0, start_s, start_s)))
        await begun.wait()
        client.stop()
        return await running

    with asyncio.Runner(loop_factory=open_loop) as runner:
        record = runner.run(run())
    assert len(record.steps[0].latency) == sum(record.steps[0].codes.values()) > 0
    assert 0 < record.lasted_s[0] < 60
    assert 0 == record.lasted_s[1]


def test_an_invalid_answer_ends_the_run() -> None:
    """It is not counted as an answer."""

    async def serve(_: bytes) -> bytes:
        return b"\xff"

    with pytest.raises(ExceptionGroup):
        run_client(serve, Step(100, 0.05, CONSTANT))
