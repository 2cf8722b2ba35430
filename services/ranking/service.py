"""RankingService over gRPC: admits requests, hands them to the pipeline, keeps deadlines."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import grpc

from crossrec.ranking.v1 import ranking_pb2
from crossrec.ranking.v1.ranking_pb2_grpc import RankingServiceServicer
from services.ranking.pipeline import Ranker, rank
from services.runtime.errors import DeadlinePassed, Overloaded, Unavailable
from services.runtime.grpc_server import BoundServer
from services.runtime.grpc_server import build_server as build_grpc_server
from services.store.protocol import StaleSchema

RANKING_SERVICE = ranking_pb2.DESCRIPTOR.services_by_name["RankingService"].full_name

MAX_REQUEST_BYTES = 4 * 1024 * 1024

SPARE_THREADS = 4
"""Threads beyond one per admitted request: refusals and health checks need not wait for a ranking to end."""

RETRY_AFTER_S = 0.1
"""What who is refused is told to wait, seconds; a few rankings' time."""


class RankingService(RankingServiceServicer):
    """The servicer.

    Args:
        ranker: what ranking needs.
        max_workers: requests ranked at once; the others wait for their turn.
        max_waiting: requests in the server at once; more get RESOURCE_EXHAUSTED.
    """

    def __init__(self, ranker: Ranker, max_workers: int, max_waiting: int) -> None:
        self._ranker, self.max_waiting = ranker, max_waiting
        self._turns = threading.Semaphore(max_workers)
        self._lock, self._admitted = threading.Lock(), 0

    def Rank(  # noqa: N802 - named by the contract
        self, request: ranking_pb2.RankRequest, context: grpc.ServicerContext
    ) -> bytes:
        """Rank the candidates of a request; the answer is a serialised RankResponse."""

        def time_left_s() -> float:
            left = context.time_remaining()
            return float("inf") if left is None else left

        with self._admission(), self._turn(time_left_s()):
            try:
                return rank(self._ranker, request, time_left_s)
            except StaleSchema as error:
                raise Unavailable(str(error)) from error

    @contextmanager
    def _admission(self) -> Iterator[None]:
        with self._lock:
            if self._admitted >= self.max_waiting:
                raise Overloaded(
                    f"{self.max_waiting} requests are being ranked already; try again later", RETRY_AFTER_S
                )
            self._admitted += 1
        try:
            yield
        finally:
            with self._lock:
                self._admitted -= 1

    @contextmanager
    def _turn(self, time_left_s: float) -> Iterator[None]:
        if not self._turns.acquire(timeout=min(time_left_s, threading.TIMEOUT_MAX)):
            raise DeadlinePassed("the deadline passed before the request had its turn")
        try:
            yield
        finally:
            self._turns.release()


def build_server(service: RankingService, listen: str) -> BoundServer:
    """Bind RankingService with health and reflection to `listen`."""

    def register(server: grpc.Server) -> None:
        # Not by the generated code: answers are serialised already.
        rank: grpc.RpcMethodHandler[ranking_pb2.RankRequest, bytes] = grpc.unary_unary_rpc_method_handler(
            service.Rank, request_deserializer=ranking_pb2.RankRequest.FromString, response_serializer=None
        )
        server.add_registered_method_handlers(RANKING_SERVICE, {"Rank": rank})
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(RANKING_SERVICE, {"Rank": rank}),))

    # The service itself limits what is ranked at once: in the queue of a thread pool requests could not be refused.
    threads = service.max_waiting + SPARE_THREADS
    return build_grpc_server(RANKING_SERVICE, register, listen, threads, MAX_REQUEST_BYTES)
