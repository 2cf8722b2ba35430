"""The hydrate stage: all rows that a request rests on, and what is missing of them."""

from dataclasses import dataclass

import numpy as np

from crossrec.ranking.v1 import ranking_pb2 as pb
from services.features.catalogue import attribute_values
from services.features.encode import Hydrated
from services.features.hashing import keys64
from services.features.rows import Block, Row, pack
from services.features.schema import Schema
from services.ranking.degraded import Degraded
from services.ranking.rows import ITEM_VIEWS, PAIR_VIEWS, RankingRows
from services.ranking.scenarios import Scenarios
from services.ranking.validate import Request
from services.store.protocol import Key, StoreUnavailable


@dataclass(frozen=True)
class Hydration:
    """The rows of a request.

    Args:
        hydrated: as encoding wants them.
        newest_user_event_s: time of the user's newest known event, seconds since 1970, 0 if none.
        oldest_item_read_s: seconds since the oldest item row was read.
    """

    hydrated: Hydrated
    newest_user_event_s: float
    oldest_item_read_s: float

    @property
    def user_scenario(self) -> Block:
        """[J] the user's rows per scenario."""
        return self.hydrated.user_scenario


def hydrate(schema: Schema, rows: RankingRows, request: Request, scenarios: Scenarios, degraded: Degraded) -> Hydration:
    """Read user rows (two batched reads) and take items and scenarios from memory."""
    user, user_scenario, reached = _user_rows(schema, rows, request.user_id, scenarios)
    items: list[Key] = [(item,) for item in request.item_ids]
    pairs: list[Key] = [(item, scenario) for item in request.item_ids for scenario in scenarios.ids]
    cached = {name: rows.caches[name].rows(items) for name in ITEM_VIEWS}
    cached |= {name: rows.caches[name].rows(pairs) for name in PAIR_VIEWS}
    reached = reached and scenarios.available and all(part.available for part in cached.values())
    if not reached:
        degraded.add(pb.DEGRADATION_REASON_STORE_UNAVAILABLE, "the store could not be read: last known rows serve")
    elif user is None:
        degraded.add(pb.DEGRADATION_REASON_UNKNOWN_USER, "the user has no features: ranked by what others do")
    unknown = int((~cached["item"].known).sum())
    if unknown:
        detail = f"{unknown} of {len(items)} candidates have no features: ranked by defaults"
        degraded.add(pb.DEGRADATION_REASON_UNKNOWN_ITEMS, detail, unknown)
    user_block = pack(schema["user"], [user])
    hydrated = Hydrated(
        time_s=request.time_s,
        encoder=rows.encoder,
        scenario=scenarios.rows,
        scenario_activity=scenarios.activity,
        user=user_block,
        user_scenario=pack(schema["user_scenario"], user_scenario),
        **{name: part.block for name, part in cached.items()},
        item_key=keys64(request.item_ids),
        pair_request=np.zeros(len(items), np.int64),
        pair_item=np.arange(len(items)),
        context=attribute_values(schema.config, "context", request.context)[None],
    )
    oldest = max(float(part.age_s.max()) for part in cached.values())
    return Hydration(hydrated, float(user_block.floats("time_s")[0]), oldest)


def _user_rows(
    schema: Schema, rows: RankingRows, user_id: str, scenarios: Scenarios
) -> tuple[Row | None, list[Row | None], bool]:
    """The user's row, rows per scenario, and whether the store could be read."""
    pairs: list[Key] = [(user_id, scenario) for scenario in scenarios.ids]
    try:
        (user,) = rows.store.read(schema["user"], [(user_id,)])
        return user, rows.store.read(schema["user_scenario"], pairs), True
    except StoreUnavailable:
        return None, [None] * len(pairs), False
