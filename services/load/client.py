"""An open-loop client: sends requests when they are due, whatever happened to earlier ones, and records outcomes.

Knows an event loop and channels; knows nothing of processes, profiles and reports.
"""

import asyncio
import itertools
import selectors
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

import grpc
import grpc.aio

from crossrec.ranking.v1 import ranking_pb2 as pb
from services.errors import CrossRecError
from services.load.schedule import Step, share_of
from services.load.stats import OK, AnswerInfo, CallOutcome, RunRecord, StepStats
from services.load.target import RANK, Target, open_channels

CONNECT_S = 10.0
MAX_SLEEP_S = 0.2
"""Longest sleep between checks whether the run was stopped, seconds."""

Call = Callable[[bytes], Coroutine[Any, Any, bytes]]


class LoadFailed(CrossRecError):
    """The run cannot start or continue: no server answers, or a client process ended. Failed requests are results."""


@dataclass(frozen=True)
class Offer:
    """Steps to run one after another.

    Args:
        steps: what to offer.
        first: number of the first request in the run.
        start_s: when the first step begins, on time.monotonic(), which all processes of a machine share.
        origin_s: when the run began.
    """

    steps: Sequence[Step]
    first: int
    start_s: float
    origin_s: float


class LoadClient:
    """Sends every `shares`th request of a run.

    Args:
        calls: functions that call the server, used in turn; they raise AioRpcError.
        requests: bytes of RankRequest, sent in order, then again from the first.
        share: number of this client, from 0.
        shares: number of clients.
    """

    def __init__(self, calls: Sequence[Call], requests: Sequence[bytes], share: int = 0, shares: int = 1) -> None:
        self._calls, self._requests = itertools.cycle(calls), requests
        self._share, self._shares = share, shares
        self._stopped = False

    def stop(self) -> None:
        """Send no more requests; those in flight are awaited."""
        self._stopped = True

    async def run(self, offer: Offer) -> RunRecord:
        """Run the steps, and return when every request has its answer or error."""
        record = RunRecord([StepStats() for _ in offer.steps])
        begin_s, first = offer.start_s, offer.first
        await asyncio.sleep(max(begin_s - time.monotonic(), 0))
        busy = time.thread_time()
        async with asyncio.TaskGroup() as group:
            for number, step in enumerate(offer.steps):
                dues = begin_s + step.due_s()
                for place in share_of(first, len(dues), self._share, self._shares):
                    if not await self._until(dues[place]):
                        break
                    body = self._requests[(first + place) % len(self._requests)]
                    group.create_task(self._send(body, float(dues[place]), record, number, offer.origin_s))
                begin_s, first = begin_s + step.duration_s, first + len(dues)
                await self._until(begin_s)
                record.lasted_s.append(max(min(time.monotonic() - begin_s, 0) + step.duration_s, 0))
            elapsed = time.monotonic() - offer.start_s
            record.busy_share = (time.thread_time() - busy) / elapsed
        return record

    async def _until(self, due_s: float) -> bool:
        """Wait until a time; False if the run was stopped. Always yields to the event loop, which reads answers."""
        while not self._stopped:
            left_s = due_s - time.monotonic()
            await asyncio.sleep(min(left_s, MAX_SLEEP_S))
            if left_s <= MAX_SLEEP_S:
                break
        return not self._stopped

    async def _send(self, body: bytes, due_s: float, record: RunRecord, step: int, origin_s: float) -> None:
        call = next(self._calls)
        code, answer, sent_s = OK, None, time.monotonic()
        try:
            reply = await call(body)
        except grpc.aio.AioRpcError as error:
            done_s = time.monotonic()
            code = error.code().name
        else:
            done_s = time.monotonic()
            answer = _answer(pb.RankResponse.FromString(reply))
        record.record(step, origin_s, CallOutcome(due_s, sent_s, done_s, code, answer))


def _answer(reply: pb.RankResponse) -> AnswerInfo:
    reasons = [pb.DegradationReason.Name(degradation.reason) for degradation in reply.degraded]
    return AnswerInfo(reply.model_version, reply.experiment_arm, reasons)


async def connect(target: Target) -> tuple[list[grpc.aio.Channel], list[Call]]:
    """Open connections and wait until they are ready; LoadFailed if they are not within CONNECT_S.

    Replies are received as bytes: latencies leave out the time to parse them.
    """
    channels = open_channels(target)
    try:
        async with asyncio.timeout(CONNECT_S):
            await asyncio.gather(*(channel.channel_ready() for channel in channels))
    except TimeoutError as error:
        for channel in channels:
            await channel.close()
        how = "with TLS" if target.tls else "without TLS"
        raise LoadFailed(f"target: no connection to {target.address} {how} within {CONNECT_S:.0f} s") from error
    return channels, [_call(channel, target) for channel in channels]


def _call(channel: grpc.aio.Channel, target: Target) -> Call:
    rank: Any = channel.unary_unary(RANK)
    metadata = tuple(target.metadata)

    async def call(body: bytes) -> bytes:
        reply: bytes = await rank(body, timeout=target.deadline_s, metadata=metadata)
        return reply

    return call


def open_loop() -> asyncio.AbstractEventLoop:
    """An event loop with precise timers: asyncio's default one rounds every wait up to a full millisecond."""
    return asyncio.SelectorEventLoop(selectors.SelectSelector())
