"""A store that records its reads and can be unavailable, and a manual clock."""

from collections.abc import Sequence

from services.features.rows import Block
from services.store.memory import MemoryRowStore
from services.store.protocol import ReadRequest


class RecordingStore(MemoryRowStore):
    """Records the first entity of the keys of each read; raises `failure` while it is set."""

    def __init__(self) -> None:
        super().__init__()
        self.reads: list[list[str]] = []
        self.failure: Exception | None = None

    def read_blocks(self, requests: Sequence[ReadRequest]) -> list[Block]:
        self.reads += [[key[0] for key in keys] for _, keys in requests]
        if self.failure:
            raise self.failure
        return super().read_blocks(requests)


class Clock:
    """A clock that tests set."""

    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s
