"""What is noted about calls of a store."""

from collections.abc import Sequence

import pytest

from services.features.rows import Row, pack_rows
from services.features.schema import View
from services.store.measured import Measured
from services.store.memory import MemoryRowStore
from services.store.protocol import Key, StoreUnavailable
from tests.unit.consumers.streams import SCHEMA

USER = SCHEMA["user"]


class Away(MemoryRowStore):
    def read(self, view: View, keys: Sequence[Key]) -> list[Row | None]:
        del view, keys
        raise StoreUnavailable("away")


def test_every_call_is_noted_with_rows_and_time() -> None:
    """Also one that fails, whose error comes through."""
    notes: list[tuple[str, str, int, float]] = []
    ticks = iter(range(10))
    store = Measured(Away(), lambda *note: notes.append(note), lambda: next(ticks))
    store.write([("u",), ("v",)], pack_rows(USER, [None, None]))
    with pytest.raises(StoreUnavailable, match="away"):
        store.read(USER, [("u",)])
    assert [("write", "user", 2, 1), ("read", "user", 1, 1)] == notes
