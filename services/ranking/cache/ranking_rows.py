"""Where the features of a request come from: user rows straight from the store, the rest from memory."""

from collections.abc import Sequence
from dataclasses import dataclass

from services.features.rows import Block
from services.features.schema import Schema, View
from services.ranking.cache.item_cache import ItemCache
from services.ranking.cache.refresh import Refresher
from services.ranking.cache.scenario_cache import ScenarioCache
from services.store.protocol import Key, ReadRequest, RowStore, StoreAdmin

NOT_RANKED_BY = ("event_ids", "event_seqs", "event_engaged_before", "scenario_ids", "position")
"""Features of users that only consumers read."""


@dataclass(frozen=True)
class RankingRows:
    """The sources of rows.

    Args:
        store: the online store, for user rows.
        users: the views of users' rows, `user` and `user_scenario`, as far as ranking reads them.
        scenarios: the scenarios, in memory.
        items: items, facets and items per scenario, in memory.
        encoder: fingerprint of the text encoder that this server trusts.
    """

    store: RowStore
    users: tuple[View, View]
    scenarios: ScenarioCache
    items: ItemCache
    encoder: int

    def read_user(self, user_id: str, scenario_ids: Sequence[str]) -> tuple[Block, Block]:
        """The user's row, and those per scenario, in one round trip; defaults where there are none.

        Raises StoreUnavailable, StaleSchema.
        """
        overall, each = self.users
        keys: list[Key] = [(user_id, scenario) for scenario in scenario_ids]
        requests: list[ReadRequest] = [(overall, [(user_id,)]), (each, keys)]
        user, user_scenario = self.store.read_blocks(requests)
        return user, user_scenario


def open_ranking_rows(
    store: RowStore,
    schema: Schema,
    encoder: int,
    cache_size: int,
    item_age_s: float,
    scenario_age_s: float,
    *,
    positions: bool = False,
) -> RankingRows:
    """Caches over a store; `positions`: read how far the user's row goes, too, which a served log wants to know."""
    user = schema["user"].without(*(name for name in NOT_RANKED_BY if not positions or name != "position"))
    return RankingRows(
        store,
        (user, schema["user_scenario"].without(*NOT_RANKED_BY)),
        ScenarioCache(store, schema, scenario_age_s),
        ItemCache(store, schema, encoder, cache_size, item_age_s),
        encoder,
    )


def open_refresher(rows: RankingRows, store: StoreAdmin, schema: Schema) -> Refresher:
    """What keeps the caches of `rows` young: it begins with all items of the store, and goes by its changes."""
    changes = store.changes([schema[name] for name in ("item", "item_scenario", "facet_activity")])
    return Refresher(rows.items, rows.scenarios, changes, (item for (item,) in store.ids(schema["item"])))
