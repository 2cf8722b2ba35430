"""The circuit breaker before a store."""

import pytest

from services.features.config import FeatureConfig
from services.features.schema import build_schema
from services.store.breaker import Breaker
from services.store.memory import MemoryRowStore
from services.store.protocol import StoreUnavailable

VIEW = build_schema(FeatureConfig())["user"]


class Away(MemoryRowStore):
    """A store that is away as long as it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.away, self.reads = True, 0

    def read(self, view, keys):
        self.reads += 1
        if self.away:
            raise StoreUnavailable("away")
        return super().read(view, keys)


def test_one_read_per_pause_while_the_store_is_away() -> None:
    """After a failure reads fail at once until the pause is over; then the store is tried, and used if it is back."""
    now, store = [0.0], Away()
    breaker = Breaker(store, 1.0, lambda: now[0])
    for _ in range(5):
        with pytest.raises(StoreUnavailable):
            breaker.read(VIEW, [("u",)])
    assert 1 == store.reads
    now[0] = 1.5
    with pytest.raises(StoreUnavailable, match="away"):
        breaker.read(VIEW, [("u",)])
    store.away = False
    with pytest.raises(StoreUnavailable, match="not tried"):
        breaker.read(VIEW, [("u",)])
    now[0] = 3.0
    assert [None] == breaker.read(VIEW, [("u",)])
    assert [None] == breaker.read(VIEW, [("u",)])
