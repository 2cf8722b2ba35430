"""`crossrec consume behavior` with timings: `python -m tests.bench.timed_consumer FILE`.

The consumer is wired by the same function; only its store and its record source are wrapped in timers. After every
commit one line of JSON goes to FILE, and two for every event of a probe: when it was polled, and when its user's row
was written.
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
"""Prefix of the user ids of probes."""


class PhaseTimer:
    """Wall and CPU seconds per phase, logged after every commit.

    Args:
        out: file for the lines.
    """

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._spent: defaultdict[str, float] = defaultdict(float)
        self._cpu: defaultdict[str, float] = defaultdict(float)
        self._records = 0

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Add the time inside the context to the phase `name`."""
        begin, begin_cpu = time.perf_counter(), time.process_time()
        try:
            yield
        finally:
            self._spent[name] += time.perf_counter() - begin
            self._cpu[name] += time.process_time() - begin_cpu

    def add_records(self, records: int) -> None:
        """Add to the number of polled records."""
        self._records += records

    def log_totals(self) -> None:
        """Log the totals: wall and CPU seconds since an arbitrary start, records, and phases."""
        now = {"wall_s": time.perf_counter(), "cpu_s": time.process_time(), "records": self._records}
        self._line({**now, "parts_s": self._spent, "parts_cpu_s": self._cpu})

    def log_probes(self, users: Iterable[str], name: str, **figures: float) -> None:
        """Log an event of the probes among the users, with the current time."""
        for user in users:
            if user.startswith(PROBE):
                self._line({"user": user, name: time.time(), **figures})

    def _line(self, content: dict[str, Any]) -> None:
        self._out.write(json.dumps(content) + "\n")
        self._out.flush()


class TimedRowStore:
    """A RowStore with timers."""

    def __init__(self, store: RowStore, timer: PhaseTimer) -> None:
        self._store, self._timer = store, timer

    def read_blocks(self, requests: Sequence[ReadRequest]) -> list[Block]:
        """Forward to the store."""
        with self._timer.phase("read"):
            return self._store.read_blocks(requests)

    def write(self, keys: Sequence[Key], block: Block) -> None:
        """Forward to the store."""
        begin = time.perf_counter()
        with self._timer.phase("write"):
            self._store.write(keys, block)
        if block.view.name == "user":
            self._timer.log_probes((user for (user,) in keys), "written_s", write_s=time.perf_counter() - begin)

    def delete(self, *arguments: Any) -> None:
        """Forward to the store."""
        with self._timer.phase("write"):
            self._store.delete(*arguments)


class TimedRecordSource(KafkaRecordSource):
    """The consumers' record source with timers."""

    def __init__(self, timer: PhaseTimer, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._timer = timer

    def poll(self, wait_s: float) -> list[Record]:
        """Forward to the record source."""
        with self._timer.phase("poll"):
            records = super().poll(wait_s)
        self._timer.add_records(len(records))
        self._timer.log_probes(((record.key or b"").decode() for record in records), "polled_s")
        return records

    def commit(self, *arguments: Any) -> None:
        """Forward to the record source."""
        with self._timer.phase("commit"):
            super().commit(*arguments)
        self._timer.log_totals()


def run_timed_consumer(out: Path) -> None:
    """Consume behaviour events until a signal."""
    configure_logging()
    settings = load_settings()
    with out.open("w") as lines, stop_event() as stop:
        timer = PhaseTimer(lines)
        store = TimedRowStore(open_rows_for_batches(settings), timer)
        freeze_heap()
        encoder = lambda: open_encoder(settings.encoder_dir)  # noqa: E731
        consume("behavior", settings, store, stop, encoder, lambda *arguments: TimedRecordSource(timer, *arguments))


if __name__ == "__main__":
    run_timed_consumer(Path(sys.argv[1]))
