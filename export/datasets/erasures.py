"""Erased users of a data set: stored beside its tables, and applied whenever its events are read.

The tables' files do not change, so that an erasure can be added at any time; a new import keeps existing erasures.
"""

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from export.datasets.errors import reading
from export.datasets.tables import ERASURES, from_columns, sort_by_time

FILE = f"{ERASURES.name}.parquet"


def read_erasures(directory: Path) -> pa.Table:
    """Read the erasures of the data set in `directory`; an empty table if there are none."""
    path = directory / FILE
    if not path.exists():
        return ERASURES.schema.empty_table()
    with reading(path):
        return pq.read_table(path, schema=ERASURES.schema)


def write_erasures(directory: Path, erasures: pa.Table) -> None:
    """Add erasures to those of the data set, atomically and without duplicates."""
    existing = read_erasures(directory)
    merged = pa.concat_tables([existing, erasures]).group_by(["user_id", "time"]).aggregate([])
    if merged.num_rows > existing.num_rows:
        columns = {name: merged[name] for name in ("user_id", "time")}
        staged = directory / f".{FILE}"
        pq.write_table(sort_by_time(from_columns(ERASURES, columns, merged.num_rows)), staged, compression="zstd")
        staged.replace(directory / FILE)


def add_erasure(directory: Path, user_id: str, time_s: float) -> None:
    """Erase a user's events up to `time_s`, seconds since 1970."""
    time_ms = pa.array([int(time_s * 1000)]).cast(ERASURES.column("time").type)
    write_erasures(directory, from_columns(ERASURES, {"user_id": [user_id], "time": time_ms}, 1))


def drop_erased_events(events: pa.Table, erasures: pa.Table) -> pa.Table:
    """Drop the events of erased users up to their last erasure; needs the columns user_id and time."""
    if not erasures.num_rows:
        return events
    last = erasures.group_by("user_id").aggregate([("time", "max")])
    place = pc.index_in(events["user_id"], value_set=last["user_id"].combine_chunks())
    erased = pc.less_equal(events["time"], last["time_max"].take(place))
    return events.filter(pc.invert(pc.fill_null(erased, False)))
