"""Columns whose rows are allocated and released, as the items, facets and pairs in memory come and go.

Knows nothing of what the rows hold.
"""

from collections.abc import Iterable
from typing import Generic, TypeVar

import numpy as np

from services.features.item_columns import ColumnSet

FIRST_ROWS = 1024
DEFAULT_ROW = 0
"""Row of default values: for items without a facet, and for pairs that the store does not have."""

C = TypeVar("C", bound=ColumnSet)


class RowPool(Generic[C]):
    """Columns that grow, and the rows of them that are free.

    Args:
        columns: one row, which becomes `DEFAULT_ROW`.
    """

    def __init__(self, columns: C) -> None:
        self.columns, self.used, self._free = columns, 1, list[int]()

    def release(self, rows: Iterable[int]) -> None:
        """Make rows available again."""
        self._free.extend(rows)

    def allocate(self, count: int) -> list[int]:
        """Numbers of `count` rows; two pools that are used in the same way give the same numbers."""
        again = [self._free.pop() for _ in range(min(count, len(self._free)))]
        first, self.used = self.used, self.used + count - len(again)
        if self.used > len(self.columns):
            self.columns = self.columns.resize(max(2 * len(self.columns), self.used, FIRST_ROWS))
        return [*again, *range(first, self.used)]


def extend_rows(array: np.ndarray, more: int, fill: float = 0) -> np.ndarray:
    """A copy with more rows; rows of zeros take no memory until they are written."""
    result = np.zeros((len(array) + more, *array.shape[1:]), array.dtype)
    result[: len(array)] = array
    if fill:
        result[len(array) :] = fill
    return result
