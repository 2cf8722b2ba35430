"""Feast's provider in feature_store.yaml: everything of Feast's own, but `feast materialize` is refused.

To materialize would write the rows of the offline source as they were at the end of a replay: rows that events have
changed since would be refused one by one, the others would go back in time.
"""

from typing import Any, NoReturn

from click import ClickException

from services.errors import CrossRecError
from services.store.feast_api import PassthroughProvider


class MaterializationRefused(CrossRecError, ClickException):
    """`feast materialize` was called; the text has the reason and the way that fills the store. Nothing was written."""


class BackfilledProvider(PassthroughProvider):
    """The provider of a store that backfills and consumers fill."""

    def materialize_single_feature_view(self, *_: Any, **__: Any) -> NoReturn:
        """Raise MaterializationRefused, before anything is written."""
        raise MaterializationRefused(
            "nothing was materialized: rows of the online store have positions in Kafka, which rows of the offline "
            "source lack; fill the store with `crossrec backfill --data NAME`, and consumers keep it up to date"
        )
