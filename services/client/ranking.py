"""Calls the ranking server. Builds requests; ranking.proto documents the fields of request and answer."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TypedDict, Unpack, cast

from crossrec.ranking.v1.ranking_pb2 import RankOptions, RankRequest, RankResponse, RequestContext
from crossrec.ranking.v1.ranking_pb2_grpc import RankingServiceStub

from .base_client import AsyncClient, SyncClient
from .service_config import RANK_RETRIES, RANKING_SERVICE, service_config

DEADLINE_S = 1.0
CONFIG = service_config(RANKING_SERVICE, "Rank", RANK_RETRIES)


class RankParameters(TypedDict, total=False):
    """Optional parameters of a request; ranking.proto has ranges and defaults."""

    scenario_id: str
    top_k: int
    request_time: datetime
    context: Mapping[str, float | str | Sequence[str]]
    explain: bool
    diversity: float


def rank_request(user_id: str, item_ids: Iterable[str], **parameters: Unpack[RankParameters]) -> RankRequest:
    """The request message. ValueError for a request_time without a time zone."""
    request = RankRequest(
        user_id=user_id,
        item_ids=item_ids,
        scenario_id=parameters.get("scenario_id", ""),
        top_k=parameters.get("top_k", 0),
        context=_request_context(parameters.get("context", {})),
        options=RankOptions(explain=parameters.get("explain", False), diversity=parameters.get("diversity", 0.0)),
    )
    if time := parameters.get("request_time"):
        if time.tzinfo is None:
            raise ValueError("request_time: has no time zone")
        request.request_time.FromDatetime(time.astimezone(UTC))
    return request


def _request_context(given: Mapping[str, float | str | Sequence[str]]) -> RequestContext:
    """Numbers, texts (a category) and lists of texts (categories) by name as the message."""
    context = RequestContext()
    for name, value in given.items():
        if isinstance(value, int | float):
            context.attributes[name] = value
        else:
            context.category_attributes[name].values.extend([value] if isinstance(value, str) else value)
    return context


class RankingClient(SyncClient):
    """Ranks items; the deadline is one second by default. Calls raise CallFailed."""

    _stub, _service_config, _deadline_s = RankingServiceStub, CONFIG, DEADLINE_S

    def rank(self, user_id: str, item_ids: Iterable[str], **parameters: Unpack[RankParameters]) -> RankResponse:
        """Rank items for a user."""
        return self.send(rank_request(user_id, item_ids, **parameters))

    def send(self, request: RankRequest) -> RankResponse:
        """Send a request message; returns the answer."""
        return cast(RankResponse, self._call("Rank", request))


class AsyncRankingClient(AsyncClient):
    """RankingClient for asyncio."""

    _stub, _service_config, _deadline_s = RankingServiceStub, CONFIG, DEADLINE_S

    async def rank(self, user_id: str, item_ids: Iterable[str], **parameters: Unpack[RankParameters]) -> RankResponse:
        """Rank items for a user."""
        return await self.send(rank_request(user_id, item_ids, **parameters))

    async def send(self, request: RankRequest) -> RankResponse:
        """Send a request message; returns the answer."""
        return cast(RankResponse, await self._call("Rank", request))
