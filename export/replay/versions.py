"""Versions of rows while many steps of a replay are folded together: as they were before, and after every change.

A stamp is a place in the order of steps; a row read at a stamp is the newest version written at or before it. Knows
rows and stamps; knows nothing of events.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from services.features.rows import Block, Ints, concatenate, default_block, pack_rows, unpack_rows
from services.features.schema import Schema, View
from services.store.memory import MemoryRowStore
from services.store.protocol import Key, ReadRequest, RowStore, read_block

BEFORE = -1
"""Stamp of the rows as they were before all steps."""


@dataclass(frozen=True)
class WrittenVersions:
    """The versions of a view's rows after BEFORE, in order of stamp.

    Args:
        keys: [V] key of each version's row.
        stamp: [V] when it was written.
        is_last: [V] whether it is the newest one of its row.
        index: [V] its place in `block`.
        block: rows.
    """

    keys: list[Key]
    stamp: Ints
    is_last: NDArray[np.bool_]
    index: Ints
    block: Block


class RowVersions:
    """The versions of one view's rows over a store, which is not written.

    Args:
        store: holds the rows from before the steps.
        view: the view.
    """

    def __init__(self, store: RowStore, view: View) -> None:
        self.view, self._store = view, store
        self._numbers: dict[Key, int] = {}
        self._added: list[tuple[Ints, Ints, Block]] = [_nothing(view)]
        self._sorted: _Sorted | None = None

    @property
    def is_changed(self) -> bool:
        """Whether any row has a version after BEFORE."""
        return any((stamp != BEFORE).any() for _, stamp, _ in self._added)

    @property
    def nbytes(self) -> int:
        """Memory of the versions."""
        return sum(block.nbytes for _, _, block in self._added)

    def number(self, keys: Sequence[Key]) -> Ints:
        """A number for each key, equal for equal keys; reads the rows of new keys."""
        known, numbers = len(self._numbers), self._numbers
        found = np.array([numbers.setdefault(key, len(numbers)) for key in keys], np.int64)
        if len(numbers) > known:
            new = list(islice(reversed(numbers), len(numbers) - known))[::-1]
            rows = read_block(self._store, self.view, new)
            self.add(np.arange(known, len(numbers)), np.full(len(new), BEFORE), rows)
        return found

    def add(self, number: Ints, stamp: Ints, block: Block) -> None:
        """Add versions of the rows of these numbers [R], written at stamps [R]."""
        self._added.append((number, stamp, block))
        self._sorted = None

    def read(self, number: Ints, stamp: Ints) -> Block:
        """The rows of these numbers [R] as of the stamps [R]."""
        versions = self._sort()
        return versions.block.take(versions.find(number, stamp))

    def written(self) -> WrittenVersions:
        """All versions after BEFORE."""
        versions = self._sort()
        number, stamp = versions.code // versions.span, versions.code % versions.span + BEFORE
        is_last = np.append(number[1:] != number[:-1], True)[: len(number)]
        chosen = np.flatnonzero(stamp != BEFORE)
        chosen = chosen[np.argsort(stamp[chosen], kind="stable")]
        keys = list(self._numbers)
        return WrittenVersions(
            keys=[keys[place] for place in number[chosen].tolist()],
            stamp=stamp[chosen],
            is_last=is_last[chosen],
            index=versions.place[chosen],
            block=versions.block,
        )

    def _sort(self) -> "_Sorted":
        if self._sorted is None:
            numbers, stamps, blocks = zip(*self._added, strict=True)
            number, stamp, block = np.concatenate(numbers), np.concatenate(stamps), concatenate(blocks)
            self._added = [(number, stamp, block)]
            span = int(stamp.max(initial=BEFORE)) - BEFORE + 1
            code = number * span + (stamp - BEFORE)
            place = np.argsort(code)
            self._sorted = _Sorted(code[place], place, span, block)
        return self._sorted


@dataclass(frozen=True)
class _Sorted:
    """Versions by number, then stamp: code = number * span + stamp - BEFORE, and the place of each in the block."""

    code: Ints
    place: Ints
    span: int
    block: Block

    def find(self, number: Ints, stamp: Ints) -> Ints:
        """Places in the block of the rows of these numbers as of these stamps."""
        code = number * self.span + np.minimum(stamp - BEFORE, self.span - 1)
        found: Ints = self.place[np.searchsorted(self.code, code, "right") - 1]
        return found


def _nothing(view: View) -> tuple[Ints, Ints, Block]:
    empty = np.zeros(0, np.int64)
    return empty, empty, default_block(view, 0)


class VersionedRows:
    """The versions of the rows of all views.

    Args:
        schema: the feature schema.
        store: holds the rows from before the steps; it is not written until `write`.
    """

    def __init__(self, schema: Schema, store: RowStore) -> None:
        self.views = {view.name: RowVersions(store, view) for view in schema.views}
        self._store = store

    def __getitem__(self, view: str) -> RowVersions:
        """The versions of a view's rows."""
        return self.views[view]

    @property
    def nbytes(self) -> int:
        """Memory of the versions."""
        return sum(versions.nbytes for versions in self.views.values())

    def read(self, view: View, keys: Sequence[Key], stamp: Ints) -> Block:
        """The rows of these keys [R] as of the stamps [R]."""
        versions = self.views[view.name]
        return versions.read(versions.number(keys), stamp)

    def write(self, store: RowStore) -> None:
        """Write the newest version of every row that changed."""
        for versions in self.views.values():
            written = versions.written()
            last = np.flatnonzero(written.is_last)
            if len(last):
                store.write([written.keys[place] for place in last.tolist()], written.block.take(written.index[last]))


class SteppedStore:
    """A RowStore whose writes become versions at the current stamp; reads see the newest ones.

    For rows of the catalogue, which change rarely.
    """

    def __init__(self, versions: VersionedRows, store: RowStore) -> None:
        self._versions, self._store = versions, store
        self._newest = MemoryRowStore()
        self.stamp = BEFORE

    def read_blocks(self, requests: Sequence[ReadRequest]) -> list[Block]:
        """See `RowStore`."""
        return [self._read(view, keys) for view, keys in requests]

    def write(self, keys: Sequence[Key], block: Block) -> None:
        """See `RowStore`."""
        versions = self._versions[block.view.name]
        versions.add(versions.number(keys), np.full(len(keys), self.stamp), block)
        self._newest.write(keys, block)

    def delete(self, view: View, keys: Sequence[Key], position: Sequence[int]) -> None:
        """See `RowStore`. Raises TypeError: a replay deletes no rows of the catalogue."""
        del keys, position
        raise TypeError(f"rows of view {view.name} are not removed")

    def _read(self, view: View, keys: Sequence[Key]) -> Block:
        newest = self._newest.rows[view.name]
        block = read_block(self._store, view, keys)
        if not any(key in newest for key in keys):
            return block
        return pack_rows(view, [newest.get(key, row) for key, row in zip(keys, unpack_rows(block), strict=True)])
