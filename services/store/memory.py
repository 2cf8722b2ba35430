"""Rows in memory: the store of replays and of tests. Same rules as the real one, fencing included."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from services.features.rows import Block, Row, unpack_rows
from services.features.schema import View
from services.store.protocol import FencedWrite, Key


class MemoryRowStore:
    """A RowStore that lives as long as the process."""

    def __init__(self) -> None:
        self.rows: dict[str, dict[Key, Row]] = defaultdict(dict)
        self._fences: dict[str, dict[Key, list[int]]] = defaultdict(dict)
        """Positions at which rows were deleted."""

    def read(self, view: View, keys: Sequence[Key]) -> list[Row | None]:
        """The rows in the order of the keys; None where there is none."""
        rows = self.rows[view.name]
        return [rows.get(key) for key in keys]

    def write(self, keys: Sequence[Key], block: Block) -> None:
        """Replace rows, unless a stored position is newer (FencedWrite; the other rows are written)."""
        rows = dict(zip(keys, unpack_rows(block), strict=True))
        refused = self._newer(block.view.name, {key: row["position"].tolist() for key, row in rows.items()})
        self.rows[block.view.name].update((key, row) for key, row in rows.items() if key not in refused)
        self._refuse(block.view, refused)

    def delete(self, view: View, keys: Sequence[Key], position: Sequence[int]) -> None:
        """Remove rows and remember the position, unless a stored one is newer (FencedWrite; the others are removed)."""
        refused = self._newer(view.name, {key: list(position) for key in keys})
        for key in keys:
            if key not in refused:
                self.rows[view.name].pop(key, None)
                self._fences[view.name][key] = list(position)
        self._refuse(view, refused)

    def ids(self, view: View) -> Iterator[Key]:
        """Keys of which there are rows."""
        return iter(list(self.rows[view.name]))

    def _newer(self, view: str, positions: Mapping[Key, list[int]]) -> set[Key]:
        """Keys under which there is a newer position than the one given."""
        stored, fences = self.rows[view], self._fences[view]
        held = {key: stored[key]["position"].tolist() if key in stored else fences.get(key) for key in positions}
        return {key for key, position in positions.items() if _is_older(position, held[key])}

    @staticmethod
    def _refuse(view: View, refused: set[Key]) -> None:
        if refused:
            raise FencedWrite(f"{len(refused)} rows of view {view.name} hold newer positions")


def _is_older(new: list[int], old: list[int] | None) -> bool:
    return old is not None and (new[0] < old[0] or (new[:2] == old[:2] and new[2] < old[2]))
