"""Reports of the calls of a store."""

from collections.abc import Sequence

import pytest

from services.features.rows import Block, pack_rows
from services.store.memory import MemoryRowStore
from services.store.metered_rows import MeteredRowStore
from services.store.protocol import ReadRequest, StoreUnavailable, read_rows
from tests.unit.consumers.streams import SCHEMA

USER = SCHEMA["user"]


class UnavailableStore(MemoryRowStore):
    """Every read fails."""

    def read_blocks(self, requests: Sequence[ReadRequest]) -> list[Block]:
        del requests
        raise StoreUnavailable("away")


def test_every_call_is_reported_with_rows_and_duration() -> None:
    """Also a failed call; its error is raised."""
    calls: list[tuple[str, str, int, float]] = []
    ticks = iter(range(10))
    store = MeteredRowStore(UnavailableStore(), lambda *call: calls.append(call), lambda: next(ticks))
    store.write([("u",), ("v",)], pack_rows(USER, [None, None]))
    with pytest.raises(StoreUnavailable, match="away"):
        read_rows(store, USER, [("u",)])
    assert [("write", "user", 2, 1), ("read", "user", 1, 1)] == calls
