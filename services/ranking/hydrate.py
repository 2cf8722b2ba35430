"""The stages that read the rows of a request, the user's first, then all of them, and note what is missing."""

from dataclasses import dataclass, replace

import numpy as np

from crossrec.ranking.v1 import ranking_pb2 as pb
from services.features.feature_rows import FeatureRows, encode_context
from services.features.profile import has_features
from services.features.rows import Block, default_block
from services.features.schema import Schema
from services.ranking.cache.last_known import LastKnownRows
from services.ranking.cache.row_sources import RowSources
from services.ranking.cache.scenario_cache import Scenarios
from services.ranking.request_state import Degradations
from services.ranking.validate import RankQuery
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
        known: whether the user's row holds an event or an attribute, as of the last successful read.
        available: whether the store could be read in time.
        age_s: seconds since the rows were read; 0: just now.
    """

    user: Block
    user_scenario: Block
    known: bool
    available: bool
    age_s: float = 0.0


@dataclass(frozen=True)
class RequestRows:
    """The rows of a request.

    Args:
        features: the rows as the encoder takes them.
        newest_user_event_s: time of the user's newest known event, seconds since 1970, 0 if none.
        oldest_item_read_s: seconds since the oldest item row was read.
        user_read_s: seconds since the user's rows were read; 0: just now.
    """

    features: FeatureRows
    newest_user_event_s: float
    oldest_item_read_s: float
    user_read_s: float


def read_user(
    schema: Schema,
    rows: RowSources,
    last_known: LastKnownRows[UserRows],
    user_id: str,
    scenarios: Scenarios,
    time_left_s: float,
) -> UserRows:
    """Read the user's rows in one batch within a share of the time left.

    If that fails, returns the last known rows, or else defaults; never raises StoreUnavailable.
    """
    try:
        with read_deadline(READ_SHARE * time_left_s):
            user, each = rows.read_user(user_id, scenarios.ids)
    except StoreUnavailable:
        known = last_known.get(user_id, scenarios.ids)
        if known is not None:
            return replace(known[0], available=False, age_s=known[1])
        user, each = default_block(schema["user"], 1), default_block(schema["user_scenario"], len(scenarios.ids))
        return UserRows(user, each, known=False, available=False)
    read = UserRows(user, each, known=bool(has_features(schema, user)[0]), available=True)
    if read.known:
        last_known.put(user_id, scenarios.ids, read, read.user.nbytes + read.user_scenario.nbytes)
    else:
        last_known.remove(user_id)
    return read


def _note_missing_items(known: np.ndarray, active: np.ndarray, degradations: Degradations) -> None:
    """Note how many candidates have nothing at all, and how many have activity, but no update."""
    unknown, undescribed = int(np.count_nonzero(~(known | active))), int(np.count_nonzero(active & ~known))
    if unknown:
        detail = f"{unknown} of {len(known)} candidates have no features: ranked by defaults"
        degradations.add(pb.DEGRADATION_REASON_UNKNOWN_ITEMS, detail, unknown)
    if undescribed:
        detail = f"{undescribed} of {len(known)} candidates have no update: ranked by activity, without text and price"
        degradations.add(pb.DEGRADATION_REASON_UNDESCRIBED_ITEMS, detail, undescribed)


def hydrate(
    schema: Schema, rows: RowSources, query: RankQuery, scenarios: Scenarios, user: UserRows, degradations: Degradations
) -> RequestRows:
    """Join items and scenarios from memory with the user's rows, and note what is missing."""
    items = rows.items.lookup(query.item_ids, scenarios.ids)
    if not (user.available and scenarios.available and items.available):
        detail = "the online store could not be read: last known rows are used"
        degradations.add(pb.DEGRADATION_REASON_STORE_UNAVAILABLE, detail)
    if not user.available and user.known:
        degradations.add(pb.DEGRADATION_REASON_STALE_USER, f"the user's rows were read {user.age_s:.0f} s ago")
    elif not user.available:
        # The model scores a new user's rows: popularity in the target scenario decides, and scores stay comparable.
        detail = "the user's rows could not be read: ranked by what other users do"
        degradations.add(pb.DEGRADATION_REASON_POPULARITY, detail)
    elif not user.known:
        degradations.add(pb.DEGRADATION_REASON_UNKNOWN_USER, "the user has no features: ranked by what other users do")
    if not items.known.all():
        _note_missing_items(items.known, items.active, degradations)
    features = FeatureRows(
        time_s=query.time_s,
        encoder=rows.encoder,
        scenario=scenarios.rows,
        scenario_activity=scenarios.activity,
        user=user.user,
        user_scenario=user.user_scenario,
        **items.fields,
        pair_request=np.zeros(len(items.known), np.int64),
        pair_item=np.arange(len(items.known)),
        context=encode_context(schema.config, query.context, query.context_categories)[None],
    )
    return RequestRows(features, float(user.user.floats("time_s")[0]), items.age_s, user.age_s)
