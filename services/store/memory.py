"""Rows in memory: the store of replays and of tests. Same rules as the real one, fencing included."""

from collections import defaultdict
from collections.abc import Sequence

from services.features.rows import Block, Row, unpack
from services.features.schema import View
from services.store.protocol import FencedWrite, Key


class MemoryRowStore:
    """A RowStore that lives as long as the process."""

    def __init__(self) -> None:
        self.rows: dict[str, dict[Key, Row]] = defaultdict(dict)

    def read(self, view: View, keys: Sequence[Key]) -> list[Row | None]:
        """The rows in the order of the keys; None where there is none."""
        rows = self.rows[view.name]
        return [rows.get(key) for key in keys]

    def write(self, keys: Sequence[Key], block: Block) -> None:
        """Replace rows, unless a stored position is newer (FencedWrite; the other rows are written)."""
        view, rows, stored = block.view, unpack(block), self.rows[block.view.name]
        fenced = [key for key, row in zip(keys, rows, strict=True) if _is_older(row, stored.get(key))]
        refused = set(fenced)
        stored.update((key, row) for key, row in zip(keys, rows, strict=True) if key not in refused)
        if fenced:
            raise FencedWrite(f"{len(fenced)} rows of view {view.name} hold newer positions")

    def delete(self, view: View, keys: Sequence[Key]) -> None:
        """Remove rows; those that do not exist are fine."""
        for key in keys:
            self.rows[view.name].pop(key, None)


def _is_older(row: Row, stored: Row | None) -> bool:
    if stored is None:
        return False
    new, old = row["position"].tolist(), stored["position"].tolist()
    return bool(new[0] < old[0] or (new[:2] == old[:2] and new[2] < old[2]))
