"""A RowStore in memory, row by row: for tests, and for views with tables in replays. Fenced like the Redis store."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from services.features.positions import is_fenced
from services.features.rows import Block, Row, pack_rows, unpack_rows
from services.features.schema import View
from services.store.protocol import FencedWrite, Key, ReadRequest


class MemoryRowStore:
    """A RowStore that lives as long as the process."""

    def __init__(self) -> None:
        self.rows: dict[str, dict[Key, Row]] = defaultdict(dict)
        self._fences: dict[str, dict[Key, list[int]]] = defaultdict(dict)
        """Positions of deleted rows."""

    def read_blocks(self, requests: Sequence[ReadRequest]) -> list[Block]:
        """See `RowStore`."""
        return [pack_rows(view, [self.rows[view.name].get(key) for key in keys]) for view, keys in requests]

    def write(self, keys: Sequence[Key], block: Block) -> None:
        """See `RowStore`."""
        # Copies: a row that is a part of a block would keep all of it in memory.
        copies = ({name: value.copy() for name, value in row.items()} for row in unpack_rows(block))
        rows = dict(zip(keys, copies, strict=True))
        refused = self._fenced(block.view.name, {key: row["position"].tolist() for key, row in rows.items()})
        self.rows[block.view.name].update((key, row) for key, row in rows.items() if key not in refused)
        self._raise_fenced(block.view, refused)

    def delete(self, view: View, keys: Sequence[Key], position: Sequence[int]) -> None:
        """See `RowStore`."""
        refused = self._fenced(view.name, {key: list(position) for key in keys})
        for key in keys:
            if key not in refused:
                self.rows[view.name].pop(key, None)
                self._fences[view.name][key] = list(position)
        self._raise_fenced(view, refused)

    def ids(self, view: View) -> Iterator[Key]:
        """See `StoreAdmin`."""
        return iter(list(self.rows[view.name]))

    def _fenced(self, view: str, positions: Mapping[Key, list[int]]) -> set[Key]:
        """Keys whose stored position, of the row or of its deletion, refuses the given one."""
        rows, fences = self.rows[view], self._fences[view]
        stored = {key: rows[key]["position"].tolist() if key in rows else fences.get(key) for key in positions}
        return {key for key, at in stored.items() if at is not None and is_fenced(positions[key], at)}

    @staticmethod
    def _raise_fenced(view: View, refused: set[Key]) -> None:
        if refused:
            raise FencedWrite(f"{len(refused)} rows of view {view.name} hold newer positions")
