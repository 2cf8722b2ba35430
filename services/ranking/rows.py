"""Where the features of a request come from: user rows straight from the store, the rest from memory."""

from dataclasses import dataclass

from services.features.schema import Schema
from services.ranking.cache import ColumnCache
from services.ranking.scenarios import ScenarioCache
from services.store.protocol import RowStore

ITEM_VIEWS = ("item", "item_activity")
FACET_VIEW = "facet_activity"
PAIR_VIEWS = ("item_scenario", "item_scenario_activity")


@dataclass(frozen=True)
class RankingRows:
    """The sources of rows.

    Args:
        store: the online store, for user rows.
        scenarios: the scenarios, in memory.
        caches: by view, the rows of items and of items per scenario.
        encoder: fingerprint of the text encoder that this server trusts.
    """

    store: RowStore
    scenarios: ScenarioCache
    caches: dict[str, ColumnCache]
    encoder: int


def open_ranking_rows(
    store: RowStore, schema: Schema, encoder: int, cache_size: int, item_age_s: float, scenario_age_s: float
) -> RankingRows:
    """Caches over a store. Items per scenario get four times the room of items: most are there in few scenarios."""
    sizes = dict.fromkeys((*ITEM_VIEWS, FACET_VIEW), cache_size) | dict.fromkeys(PAIR_VIEWS, 4 * cache_size)
    caches = {name: ColumnCache(store, schema[name], size, item_age_s) for name, size in sizes.items()}
    return RankingRows(store, ScenarioCache(store, schema, scenario_age_s), caches, encoder)
