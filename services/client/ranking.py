"""Asks the ranking server. Knows how a request is made; what its answer means is said in ranking.proto."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import TypedDict, Unpack, cast

from crossrec.ranking.v1.ranking_pb2 import RankOptions, RankRequest, RankResponse, RequestContext
from crossrec.ranking.v1.ranking_pb2_grpc import RankingServiceStub

from .connection import AsyncClient, SyncClient
from .policy import RANK_RETRIES, RANKING_SERVICE, service_config

DEADLINE_S = 1.0
CONFIG = service_config(RANKING_SERVICE, "Rank", RANK_RETRIES)


class Wishes(TypedDict, total=False):
    """What a request may say besides user and items; ranges and defaults are in ranking.proto."""

    scenario_id: str
    top_k: int
    request_time: datetime
    context: Mapping[str, float]
    explain: bool
    diversity: float


def rank_request(user_id: str, item_ids: Iterable[str], **wishes: Unpack[Wishes]) -> RankRequest:
    """The message of a request. ValueError for a request_time without a time zone."""
    request = RankRequest(
        user_id=user_id,
        item_ids=item_ids,
        scenario_id=wishes.get("scenario_id", ""),
        top_k=wishes.get("top_k", 0),
        context=RequestContext(attributes=wishes.get("context", {})),
        options=RankOptions(explain=wishes.get("explain", False), diversity=wishes.get("diversity", 0.0)),
    )
    if time := wishes.get("request_time"):
        if time.tzinfo is None:
            raise ValueError("request_time: has no time zone")
        request.request_time.FromDatetime(time.astimezone(UTC))
    return request


class RankingClient(SyncClient):
    """Ranks items; by default within a second. Every call raises CallFailed if it fails."""

    _stub, _service_config, _deadline_s = RankingServiceStub, CONFIG, DEADLINE_S

    def rank(self, user_id: str, item_ids: Iterable[str], **wishes: Unpack[Wishes]) -> RankResponse:
        """Rank items for a user."""
        return self.send(rank_request(user_id, item_ids, **wishes))

    def send(self, request: RankRequest) -> RankResponse:
        """The answer to a request as it is."""
        return cast(RankResponse, self._call("Rank", request))


class AsyncRankingClient(AsyncClient):
    """The same for asyncio."""

    _stub, _service_config, _deadline_s = RankingServiceStub, CONFIG, DEADLINE_S

    async def rank(self, user_id: str, item_ids: Iterable[str], **wishes: Unpack[Wishes]) -> RankResponse:
        """Rank items for a user."""
        return await self.send(rank_request(user_id, item_ids, **wishes))

    async def send(self, request: RankRequest) -> RankResponse:
        """The answer to a request as it is."""
        return cast(RankResponse, await self._call("Rank", request))
