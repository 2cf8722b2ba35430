"""RankingService over gRPC: admits requests, runs the pipeline, passes on deadlines."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import grpc

from crossrec.ranking.v1 import ranking_pb2
from crossrec.ranking.v1.ranking_pb2_grpc import RankingServiceServicer
from services.errors import Unavailable
from services.ranking.admission.admission import AdmissionController, parse_priority
from services.ranking.admission.concurrency_limit import ConcurrencyLimit
from services.ranking.pipeline import Ranker, rank
from services.ranking.request_state import WAIT_STAGE, StageTimings
from services.ranking.validate import MAX_ITEMS
from services.server.call_observer import Observe
from services.server.grpc_server import BoundServer, ServerLimits
from services.server.grpc_server import build_server as build_grpc_server
from services.server.security.caller import client_of
from services.server.security.protection import UNPROTECTED, Protection
from services.server.telemetry.request import attach_timeline
from services.server.wire_count import WireLimit
from services.store.protocol import StaleSchema

if TYPE_CHECKING:
    from services.server.telemetry.opentelemetry import Tracing

RANKING_SERVICE = ranking_pb2.DESCRIPTOR.services_by_name["RankingService"].full_name

MAX_REQUEST_BYTES = 4 * 1024 * 1024

WIRE_LIMITS = {
    f"/{RANKING_SERVICE}/Rank": WireLimit("item_ids", ranking_pb2.RankRequest.ITEM_IDS_FIELD_NUMBER, MAX_ITEMS)
}
"""Most entries of requests, counted before a request is parsed."""

STALLED_S = 30.0
"""Seconds with all slots taken and none given back, after which the server is not ready: no request takes as long."""

SPARE_THREADS = 4
"""Threads beyond one per admitted request, so that rejections and health checks need not wait for a ranking to end."""


class RankingService(RankingServiceServicer):
    """The servicer of Rank.

    Args:
        ranker: what ranking needs.
        max_workers: requests ranked at the same time; the others wait for a slot.
        max_waiting: most requests in the server at the same time; more get RESOURCE_EXHAUSTED.
        target_wait_s: while requests wait longer than this, fewer are admitted.
    """

    def __init__(self, ranker: Ranker, max_workers: int, max_waiting: int, target_wait_s: float = 0.05) -> None:
        self._ranker, self.max_waiting = ranker, max_waiting
        self.admission = AdmissionController(max_workers, ConcurrencyLimit(max_workers, max_waiting, target_wait_s))

    def stalled(self) -> str:
        """Why requests are not ranked any more; empty while they are."""
        stalled_s = self.admission.stalled_s
        return f"no ranking has ended for {stalled_s:.0f} s, with all slots taken" if stalled_s > STALLED_S else ""

    def Rank(  # noqa: N802 - named by the contract
        self, request: ranking_pb2.RankRequest, context: grpc.ServicerContext
    ) -> bytes:
        """Rank the candidates of a request; returns a serialised RankResponse."""

        def time_left_s() -> float:
            left = context.time_remaining()
            return float("inf") if left is None else left

        attach_timeline(timings := StageTimings())
        priority = parse_priority(context.invocation_metadata())
        with self.admission.admit(priority, time_left_s(), client_of(context)):
            timings.end(WAIT_STAGE)
            try:
                return rank(self._ranker, request, time_left_s, timings)
            except StaleSchema as error:
                raise Unavailable(str(error)) from error


def build_server(
    service: RankingService,
    listen: str,
    *,
    shared: bool = False,
    protection: Protection = UNPROTECTED,
    observe: Observe | None = None,
    tracing: "Tracing | None" = None,
) -> BoundServer:
    """Bind RankingService with health and reflection to `listen`; a `shared` port may have several listeners.

    `observe` is called when a call ends, `tracing` creates a span for it.
    """

    def register(server: grpc.Server) -> None:
        register_rank(server, service.Rank)

    # The service itself limits concurrent rankings: in the queue of a thread pool requests could not be rejected.
    limits = ServerLimits(service.max_waiting + SPARE_THREADS, MAX_REQUEST_BYTES, WIRE_LIMITS)
    return build_grpc_server(
        RANKING_SERVICE,
        register,
        listen,
        limits,
        shared=shared,
        protection=protection,
        observe=observe,
        tracing=tracing,
    )


def register_rank(server: grpc.Server, rank: Callable[[ranking_pb2.RankRequest, grpc.ServicerContext], bytes]) -> None:
    """Register the handler of Rank; not by the generated code, because answers are serialised already."""
    handler: grpc.RpcMethodHandler[ranking_pb2.RankRequest, bytes] = grpc.unary_unary_rpc_method_handler(
        rank, request_deserializer=ranking_pb2.RankRequest.FromString, response_serializer=None
    )
    server.add_registered_method_handlers(RANKING_SERVICE, {"Rank": handler})
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(RANKING_SERVICE, {"Rank": handler}),))
