"""A store that remembers what was read and can be away, and a clock that stands still."""

from collections.abc import Sequence

from services.features.rows import Row
from services.features.schema import View
from services.store.memory import MemoryRowStore
from services.store.protocol import Key


class RecordingStore(MemoryRowStore):
    """Remembers the first entity of the keys of each read; raises `failure` while it is set."""

    def __init__(self) -> None:
        super().__init__()
        self.reads: list[list[str]] = []
        self.failure: Exception | None = None

    def read(self, view: View, keys: Sequence[Key]) -> list[Row | None]:
        self.reads.append([key[0] for key in keys])
        if self.failure:
            raise self.failure
        return super().read(view, keys)


class Clock:
    """Seconds that pass only when told to."""

    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s
