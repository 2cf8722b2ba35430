"""`crossrec consume behavior` that also writes down where its time goes: `python -m tests.bench.timed_consumer FILE`.

The consumer is wired by the same function; only its store and its log are wrapped in clocks. After every commit
one line of JSON goes to FILE, and two for every event of a probe: when it was polled, when its user's row was written.
"""

import json
import sys
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from services.consumers.main import consume
from services.features.rows import Block
from services.kafka.consumer import KafkaRecordSource
from services.kafka.record_source import Record
from services.server.lifecycle import freeze_heap, stop_event
from services.server.logging import configure_logging
from services.settings.load import load_settings
from services.store.connect import open_rows_for_batches
from services.store.protocol import Key, ReadRequest, RowStore
from services.text.encoder import open_encoder

PROBE = "probe-"
"""Users whose ids begin with it are watched."""


class Clocks:
    """Wall and processor seconds spent per part, and a line of all of them per commit.

    Args:
        out: where the lines go.
    """

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._spent: defaultdict[str, float] = defaultdict(float)
        self._cpu: defaultdict[str, float] = defaultdict(float)
        self._records = 0

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Count the time inside to `name`."""
        begin, begin_cpu = time.perf_counter(), time.process_time()
        try:
            yield
        finally:
            self._spent[name] += time.perf_counter() - begin
            self._cpu[name] += time.process_time() - begin_cpu

    def polled(self, records: int) -> None:
        """Remember how many records came."""
        self._records += records

    def committed(self) -> None:
        """Write down where things stand: wall and processor seconds since any beginning, records and parts."""
        now = {"wall_s": time.perf_counter(), "cpu_s": time.process_time(), "records": self._records}
        self._line({**now, "parts_s": self._spent, "parts_cpu_s": self._cpu})

    def seen(self, users: Iterable[str], name: str, **figures: float) -> None:
        """Write down what happens now to the probes among the users, by the clock of the day."""
        for user in users:
            if user.startswith(PROBE):
                self._line({"user": user, name: time.time(), **figures})

    def _line(self, content: dict[str, Any]) -> None:
        self._out.write(json.dumps(content) + "\n")
        self._out.flush()


class TimedRows:
    """A RowStore with clocks."""

    def __init__(self, store: RowStore, clocks: Clocks) -> None:
        self._store, self._clocks = store, clocks

    def read_blocks(self, requests: Sequence[ReadRequest]) -> list[Block]:
        """As the store does."""
        with self._clocks.part("read"):
            return self._store.read_blocks(requests)

    def write(self, keys: Sequence[Key], block: Block) -> None:
        """As the store does."""
        begin = time.perf_counter()
        with self._clocks.part("write"):
            self._store.write(keys, block)
        if block.view.name == "user":
            self._clocks.seen((user for (user,) in keys), "written_s", write_s=time.perf_counter() - begin)

    def delete(self, *arguments: Any) -> None:
        """As the store does."""
        with self._clocks.part("write"):
            self._store.delete(*arguments)


class TimedLog(KafkaRecordSource):
    """The consumers' log with clocks."""

    def __init__(self, clocks: Clocks, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._clocks = clocks

    def poll(self, wait_s: float) -> list[Record]:
        """As the log does."""
        with self._clocks.part("poll"):
            records = super().poll(wait_s)
        self._clocks.polled(len(records))
        self._clocks.seen(((record.key or b"").decode() for record in records), "polled_s")
        return records

    def commit(self, *arguments: Any) -> None:
        """As the log does."""
        with self._clocks.part("commit"):
            super().commit(*arguments)
        self._clocks.committed()


def run(out: Path) -> None:
    """Consume behaviour events until a signal."""
    configure_logging()
    settings = load_settings()
    with out.open("w") as lines, stop_event() as stop:
        clocks = Clocks(lines)
        store = TimedRows(open_rows_for_batches(settings), clocks)
        freeze_heap()
        encoder = lambda: open_encoder(settings.encoder_dir)  # noqa: E731
        consume("behavior", settings, store, stop, encoder, lambda *arguments: TimedLog(clocks, *arguments))


if __name__ == "__main__":
    run(Path(sys.argv[1]))
