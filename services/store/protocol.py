"""What the rest of the system may ask of an online store. Knows no store.

Errors: `StoreUnavailable` when the store cannot be reached or answers too late (try again later), `FencedWrite`
when a row holds a newer position than the writer's (the writer has lost its partitions).
"""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from services.errors import CrossRecError
from services.features.rows import Block, Row
from services.features.schema import View

Key = tuple[str, ...]
"""Entity ids of a row, in the order of View.entities."""


class StoreUnavailable(CrossRecError):
    """The online store cannot be reached, or answered too late; trying again may help."""


class FencedWrite(CrossRecError):
    """Rows hold newer positions than the writer's: another process owns the partition now."""


class StaleSchema(CrossRecError):
    """Rows were written under another feature schema, unknown or newer, and cannot be read under this one."""


class IncompatibleSchema(CrossRecError):
    """Stored rows would mean something else under this feature schema; the text names features and the remedy."""


class RowStore(Protocol):
    """Rows by view and key."""

    def read(self, view: View, keys: Sequence[Key]) -> list[Row | None]:
        """The rows in the order of the keys; None where there is none. Raises StoreUnavailable, StaleSchema."""
        ...

    def write(self, keys: Sequence[Key], block: Block) -> None:
        """Replace rows of the block's view, unless a stored position is newer.

        Raises StoreUnavailable, FencedWrite.
        """
        ...

    def delete(self, view: View, keys: Sequence[Key], position: Sequence[int]) -> None:
        """Remove rows, by a record at `position` (epoch, partition, offset); those that do not exist are fine.

        Writes from before that position are refused afterwards, for as long as such records can arrive. Raises
        StoreUnavailable, and FencedWrite where a stored position is newer; the other rows are removed.
        """
        ...


@runtime_checkable
class BlockReader(Protocol):
    """A store that keeps rows side by side and gives them that way."""

    def read_block(self, view: View, keys: Sequence[Key]) -> Block:
        """The rows of `keys` side by side; missing ones hold defaults."""
        ...


@runtime_checkable
class BlocksReader(Protocol):
    """A store that reads several views in one round trip."""

    def read_blocks(self, asked: Sequence[tuple[View, Sequence[Key]]]) -> list[Block]:
        """The rows of each view's keys side by side; missing ones hold defaults."""
        ...
