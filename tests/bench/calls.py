"""Rank calls for benchmarks: one answer is checked, the others stay bytes, which costs the client less."""

import threading
import time
from collections.abc import Sequence

import grpc

from crossrec.ranking.v1 import ranking_pb2 as pb
from services.ranking.service import RANKING_SERVICE

TIMEOUT_S = 30.0


class RankCalls:
    """Rank calls to one server.

    Args:
        channel: channel to the server.
    """

    def __init__(self, channel: grpc.Channel) -> None:
        self._call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(f"/{RANKING_SERVICE}/Rank")

    def check(self, request: pb.RankRequest) -> None:
        """Send one request and parse its answer; RuntimeError if it is incomplete or degraded."""
        reply = pb.RankResponse.FromString(self._call(request.SerializeToString(), timeout=TIMEOUT_S))
        if len(reply.items) != len(request.item_ids) or reply.degraded:
            raise RuntimeError(f"the answer is incomplete: {len(reply.items)} items, degraded: {reply.degraded}")

    def measure_latencies(self, asked: Sequence[pb.RankRequest]) -> list[float]:
        """Latency of each request in milliseconds, sent one after another."""
        milliseconds = []
        self.check(asked[0])
        for body in [request.SerializeToString() for request in asked]:
            begin = time.perf_counter()
            self._call(body, timeout=TIMEOUT_S)
            milliseconds.append((time.perf_counter() - begin) * 1000)
        return milliseconds

    def measure_capacity(self, asked: Sequence[pb.RankRequest], in_flight: int, seconds: float) -> float:
        """Answers per second with a constant number of requests in flight."""
        bodies = [request.SerializeToString() for request in asked]
        until_s = time.monotonic() + seconds
        done = [0] * in_flight

        def work(number: int) -> None:
            while time.monotonic() < until_s:
                self._call(bodies[(done[number] * in_flight + number) % len(bodies)], timeout=TIMEOUT_S)
                done[number] += 1

        threads = [threading.Thread(target=work, args=(number,)) for number in range(in_flight)]
        begun_s = time.monotonic()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return sum(done) / (time.monotonic() - begun_s)
