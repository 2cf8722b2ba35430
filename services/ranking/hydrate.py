"""The rows that a request rests on, and what is missing of them: the user's first, then all of them."""

from dataclasses import dataclass, replace

import numpy as np

from crossrec.ranking.v1 import ranking_pb2 as pb
from services.features.catalogue import attribute_values
from services.features.feature_rows import FeatureRows
from services.features.rows import Block, default_block
from services.features.schema import Schema
from services.ranking.cache.last_known import LastKnown, size_of
from services.ranking.cache.ranking_rows import RankingRows
from services.ranking.cache.scenario_cache import Scenarios
from services.ranking.degraded import Degraded
from services.ranking.validate import Request
from services.store.protocol import StoreUnavailable
from services.store.read_deadline import read_deadline

READ_SHARE = 0.5
"""Share of the time left that reading the user's rows may take, up to the store's own time-out."""


@dataclass(frozen=True)
class UserRows:
    """The rows of a user; defaults where the store has none or could not be read.

    Args:
        user: the user's row.
        user_scenario: [J] the user's rows per scenario.
        known: whether the store has the user's row, as far as is known.
        available: whether the store could be read in time.
        age_s: seconds since the rows were read; 0: just now.
    """

    user: Block
    user_scenario: Block
    known: bool
    available: bool
    age_s: float = 0.0


@dataclass(frozen=True)
class Hydration:
    """The rows of a request.

    Args:
        hydrated: as encoding wants them.
        newest_user_event_s: time of the user's newest known event, seconds since 1970, 0 if none.
        oldest_item_read_s: seconds since the oldest item row was read.
        user_read_s: seconds since the user's rows were read; 0: just now.
    """

    hydrated: FeatureRows
    newest_user_event_s: float
    oldest_item_read_s: float
    user_read_s: float


def read_user(
    schema: Schema,
    rows: RankingRows,
    last_known: LastKnown[UserRows],
    user_id: str,
    scenarios: Scenarios,
    time_left_s: float,
) -> UserRows:
    """One batched read within a share of the time left; the last known rows, or else defaults, if it fails.

    Never raises StoreUnavailable.
    """
    try:
        with read_deadline(READ_SHARE * time_left_s):
            user, each = rows.read_user(user_id, scenarios.ids)
    except StoreUnavailable:
        found = last_known.find(user_id, scenarios.ids)
        if found is not None:
            return replace(found[0], available=False, age_s=found[1])
        user, each = default_block(schema["user"], 1), default_block(schema["user_scenario"], len(scenarios.ids))
        return UserRows(user, each, known=False, available=False)
    read = UserRows(user, each, known=bool(user.ints("schema")[0]), available=True)
    if read.known:
        last_known.keep(user_id, scenarios.ids, read, size_of(read.user) + size_of(read.user_scenario))
    else:
        last_known.forget(user_id)
    return read


def hydrate(
    schema: Schema, rows: RankingRows, request: Request, scenarios: Scenarios, user: UserRows, degraded: Degraded
) -> Hydration:
    """Put items and scenarios from memory beside the user's rows, and note what is missing."""
    cached = rows.items.rows(request.item_ids, scenarios.ids)
    if not (user.available and scenarios.available and cached.available):
        degraded.add(pb.DEGRADATION_REASON_STORE_UNAVAILABLE, "the store could not be read: last known rows serve")
    if not user.available and user.known:
        degraded.add(pb.DEGRADATION_REASON_STALE_USER, f"the user's rows are as of {user.age_s:.0f} s ago")
    elif not user.available:
        # The model on a new user's rows: what others do in the target scenario decides, and scores stay scores.
        degraded.add(pb.DEGRADATION_REASON_POPULARITY, "nothing is known of the user: ranked by what others do")
    elif not user.known:
        degraded.add(pb.DEGRADATION_REASON_UNKNOWN_USER, "the user has no features: ranked by what others do")
    unknown = len(cached.known) - int(np.count_nonzero(cached.known))
    if unknown:
        detail = f"{unknown} of {len(cached.known)} candidates have no features: ranked by defaults"
        degraded.add(pb.DEGRADATION_REASON_UNKNOWN_ITEMS, detail, unknown)
    hydrated = FeatureRows(
        time_s=request.time_s,
        encoder=rows.encoder,
        scenario=scenarios.rows,
        scenario_activity=scenarios.activity,
        user=user.user,
        user_scenario=user.user_scenario,
        **cached.fields,
        pair_request=np.zeros(len(cached.known), np.int64),
        pair_item=np.arange(len(cached.known)),
        context=attribute_values(schema.config, "context", request.context)[None],
    )
    return Hydration(hydrated, float(user.user.floats("time_s")[0]), cached.age_s, user.age_s)
