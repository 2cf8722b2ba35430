"""Sources of the feature rows of a request: user rows from the store, all others from memory."""

from collections.abc import Sequence
from dataclasses import dataclass

from services.features.rows import Block
from services.features.schema import Schema, View
from services.ranking.cache.item_cache import ItemCache
from services.ranking.cache.refresh import Refresher
from services.ranking.cache.scenario_cache import ScenarioCache
from services.store.protocol import Key, ReadRequest, RowStore, StoreAdmin

_CONSUMER_ONLY = ("event_ids", "event_seqs", "event_engaged_before", "scenario_ids", "profile_s", "position")
_FIRST_TIMES = ("facet_first_s", "seen_first_s", "opinion_item_first_s", "opinion_facet_first_s")
UNREAD = {
    "user": (*_CONSUMER_ONLY, *_FIRST_TIMES),
    "user_scenario": (*_CONSUMER_ONLY, "item_first_s", *_FIRST_TIMES),
}
"""Features of users, by view, that ranking does not read: only consumers do, or nothing is encoded from them."""


@dataclass(frozen=True)
class RowSources:
    """The sources of rows.

    Args:
        store: the online store, for user rows.
        users: the views `user` and `user_scenario`, without the features that ranking does not read.
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


def open_row_sources(
    store: RowStore,
    schema: Schema,
    encoder: int,
    cache_size: int,
    item_age_s: float,
    scenario_age_s: float,
    *,
    max_scenarios: int,
    positions: bool = False,
) -> RowSources:
    """Open caches over a store; `positions`: read the stream position of the user's row, too, for the served log."""
    unread = (name for name in UNREAD["user"] if not positions or name != "position")
    return RowSources(
        store,
        (schema["user"].without(*unread), schema["user_scenario"].without(*UNREAD["user_scenario"])),
        ScenarioCache(store, schema, scenario_age_s, max_scenarios),
        ItemCache(store, schema, encoder, cache_size, item_age_s),
        encoder,
    )


def open_refresher(rows: RowSources, store: StoreAdmin, schema: Schema) -> Refresher:
    """The background refresh of the caches: reads all items of the store first, then the rows that change."""
    changes = store.changes([schema[name] for name in ("item", "item_scenario", "facet_activity")])
    return Refresher(rows.items, rows.scenarios, changes, (item for (item,) in store.ids(schema["item"])))
