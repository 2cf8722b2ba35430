"""A store of rows in memory that also says of whom it has rows, as the console's catalogue asks."""

from collections.abc import Iterator

from services.features.schema import View
from services.store.protocol import Key
from tests.contract.rank_server import SwitchedStore, filled_store


class NamedStore(SwitchedStore):
    """`SwitchedStore` with ids."""

    def ids(self, view: View) -> Iterator[Key]:
        if self.failure:
            raise self.failure
        yield from list(self.rows[view.name])


def named_store() -> NamedStore:
    """What `filled_store` tells."""
    store = NamedStore()
    store.rows = filled_store().rows
    return store
