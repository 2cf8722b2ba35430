"""Users of a data set who asked to be forgotten: kept beside its tables, and left out whenever its events are read.

The tables' own files stay as they are, so that an erasure can be added at any time; a new import keeps those that
were there.
"""

from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from export.datasets.tables import ERASURES, from_columns, sort_by_time

FILE = f"{ERASURES.name}.parquet"


def read_erasures(directory: Path) -> pa.Table:
    """The erasures of the data set in `directory`; no rows if nobody was forgotten."""
    path = directory / FILE
    return pq.read_table(path, schema=ERASURES.schema) if path.exists() else ERASURES.schema.empty_table()


def write_erasures(directory: Path, erasures: pa.Table) -> None:
    """Add erasures to those of the data set, in one step; what was there already is not repeated."""
    known = read_erasures(directory)
    both = pa.concat_tables([known, erasures]).group_by(["user_id", "time"]).aggregate([])
    if both.num_rows > known.num_rows:
        columns = {name: both[name] for name in ("user_id", "time")}
        staged = directory / f".{FILE}"
        pq.write_table(sort_by_time(from_columns(ERASURES, columns, both.num_rows)), staged, compression="zstd")
        staged.replace(directory / FILE)


def add_erasure(directory: Path, user_id: str, time_s: float) -> None:
    """Have a user forgotten up to `time_s`, seconds since 1970."""
    time = datetime.fromtimestamp(time_s, UTC)
    write_erasures(directory, from_columns(ERASURES, {"user_id": [user_id], "time": pa.array([time])}, 1))


def without_erased(events: pa.Table, erasures: pa.Table) -> pa.Table:
    """The events without those of users up to their last erasure; needs the columns user_id and time."""
    if not erasures.num_rows:
        return events
    last = erasures.group_by("user_id").aggregate([("time", "max")])
    place = pc.index_in(events["user_id"], value_set=last["user_id"].combine_chunks())
    erased = pc.less_equal(events["time"], last["time_max"].take(place))
    return events.filter(pc.invert(pc.fill_null(erased, False)))
