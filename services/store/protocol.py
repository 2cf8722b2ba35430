"""The protocols of an online store: rows, their administration, and the feed of their changes. Knows no implementation.

Errors: `StoreUnavailable` when the store cannot be reached or answers too late (a later retry may succeed),
`FencedWrite` when a row holds a newer position than the writer's (the writer has lost its partitions).
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from services.errors import CrossRecError
from services.features.rows import Block, Row, unpack_rows
from services.features.schema import View

Key = tuple[str, ...]
"""Entity ids of a row, in the order of View.entities."""

ReadRequest = tuple[View, Sequence[Key]]
"""A view, or some of its features (`schema` among them), and the keys of the rows to read."""


class StoreUnavailable(CrossRecError):
    """The online store cannot be reached, or answered too late; a retry may succeed."""


class StoreDenied(StoreUnavailable):
    """The store's user may not run a command that is needed; the text names both. It passes once the right is given."""


class RowsLost(StoreUnavailable):
    """The store lacks rows whose records were committed as folded; the text has the remedy."""


class FencedWrite(CrossRecError):
    """Rows hold newer positions than the writer's: another process owns the partition now."""


class StaleSchema(CrossRecError):
    """Rows were written under another feature schema, unknown or newer, and cannot be read under this one."""


class IncompatibleSchema(CrossRecError):
    """Stored rows would mean something else under this feature schema; the text names features and the remedy."""


class RowStore(Protocol):
    """Rows by view and key."""

    def read_blocks(self, requests: Sequence[ReadRequest]) -> list[Block]:
        """The rows of each request as one block, in the order of its keys; all requests in one round trip.

        A row that does not exist holds the features' defaults: its `schema` is 0, which no written row has
        (`existing_rows`). Raises StoreUnavailable, StaleSchema.
        """
        ...

    def write(self, keys: Sequence[Key], block: Block) -> None:
        """Replace rows of the block's view. A row whose stored position is newer is kept.

        Raises StoreUnavailable; FencedWrite when rows were kept, after the other rows are written.
        """
        ...

    def delete(self, view: View, keys: Sequence[Key], position: Sequence[int]) -> None:
        """Remove rows because of a record at `position` (epoch, partition, offset). Missing rows are no error.

        Later writes from before that position are refused, for as long as such records can arrive. Raises
        StoreUnavailable; FencedWrite when a stored position is newer, after the other rows are removed.
        """
        ...


class ChangeFeed(Protocol):
    """The keys of rows as they are written, view by view. For one thread."""

    def take(self, wait_s: float) -> dict[str, set[Key]] | None:
        """Keys by view of the rows written since the last call; waits up to `wait_s` seconds for the first one.

        None when changes may have been missed: at the first call, and after the connection was lost. Raises
        StoreUnavailable.
        """
        ...

    def close(self) -> None:
        """Close the feed's connections."""
        ...


class StoreAdmin(Protocol):
    """Administration of the rows of whole views. Every function raises StoreUnavailable."""

    def ids(self, view: View) -> Iterator[Key]:
        """Keys of all rows that the view may have, by a scan of the store."""
        ...

    def drop(self, view: View) -> int:
        """Remove all rows of a view and their fences; returns how many. No process may write the view meanwhile."""
        ...

    def expire(self, view: View) -> int:
        """Apply the retention in force to rows that were written under another one; returns how many it changed."""
        ...

    def changes(self, views: Sequence[View]) -> ChangeFeed:
        """A feed of the changes of these views' rows; takes one view per kind of entity."""
        ...


@runtime_checkable
class StoreNodes(Protocol):
    """The servers behind a store, any of which a failover may replace by one that lacks the last rows."""

    def node_changes(self) -> int:
        """A number that grows when a connection to a server is made again, or another server becomes a primary.

        Two equal numbers: no failover came in between.
        """
        ...

    def number_per_node(self, view: View, key_of: Callable[[int], Key]) -> list[int]:
        """Numbers whose keys lie on all the servers that hold rows, one on each; none if there is a single server.

        Raises StoreUnavailable.
        """
        ...

    def wait_for_replicas(self, view: View, keys: Sequence[Key]) -> None:
        """Wait until replicas have all that was written on the servers of these keys, if the settings ask for it.

        Raises StoreUnavailable if too few have it in time.
        """
        ...


class OnlineStore(RowStore, StoreAdmin, Protocol):
    """What a deployment needs of its store."""


def read_block(store: RowStore, view: View, keys: Sequence[Key]) -> Block:
    """The rows of one view's keys as a block; missing ones hold defaults. Raises as `RowStore.read_blocks` does."""
    return store.read_blocks([(view, keys)])[0]


def read_rows(store: RowStore, view: View, keys: Sequence[Key]) -> list[Row | None]:
    """The rows of one view's keys one by one; None for a missing row. Raises as `RowStore.read_blocks` does."""
    block = read_block(store, view, keys)
    exists = existing_rows(block).tolist()
    return [row if there else None for row, there in zip(unpack_rows(block), exists, strict=True)]


def existing_rows(block: Block) -> NDArray[np.bool_]:
    """Which rows of a block [R] exist in the store: every row that was ever written names its schema."""
    exists: NDArray[np.bool_] = block.ints("schema") != 0
    return exists
