"""An imported data set on disk: Parquet files and dataset.json in one directory, and erasures if there are any.

Knows files and row groups; knows nothing of the rows beyond their schema.
"""

import fcntl
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from export.datasets.contract import find_contract_problems
from export.datasets.erasures import drop_erased_events, read_erasures, write_erasures
from export.datasets.errors import DatasetError, Problem, reading, writing
from export.datasets.tables import EVENTS, TABLES, USERS, Dataset
from export.datasets.validation import validate_dataset, validate_order
from services.settings.private_files import make_private_directory

ROW_GROUP_ROWS = 131_072
INFO_FILE = "dataset.json"

WRITTEN = (*TABLES, USERS)
"""Tables that an import writes; imports from before there was one of users lack it."""

OF_USERS = (EVENTS.name, USERS.name)
"""Tables whose rows of erased users are dropped."""


def write_dataset(dataset: Dataset, out: Path, info: dict[str, Any]) -> None:
    """Write a sorted data set; raises DatasetError, and writes nothing, if it is invalid.

    Files are written next to `out` and then moved in, dataset.json last. Existing erasures are kept.
    """
    validate_dataset(dataset)
    validate_order(dataset)
    if out.exists() and not out.is_dir():
        raise DatasetError(f"{out} is a file, not a directory")
    with writing(out):
        make_private_directory(out)
        staging = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
        try:
            _write_staged(dataset, staging, info)
            with _one_at_a_time(out):
                (out / INFO_FILE).unlink(missing_ok=True)
                write_erasures(out, dataset.erasures)
                for name in [*(f"{spec.name}.parquet" for spec in WRITTEN), INFO_FILE]:
                    (staging / name).chmod(0o600)
                    (staging / name).replace(out / name)
        finally:
            shutil.rmtree(staging, ignore_errors=True)


@contextmanager
def _one_at_a_time(directory: Path) -> Iterator[None]:
    """Admit one import at a time, so that all files are of one; for the moment of moving them the others wait."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _write_staged(dataset: Dataset, staging: Path, info: dict[str, Any]) -> None:
    for spec in WRITTEN:
        table = dataset.table(spec.name)
        file = staging / f"{spec.name}.parquet"
        pq.write_table(table, file, compression="zstd", row_group_size=ROW_GROUP_ROWS)
    (staging / INFO_FILE).write_text(json.dumps(info, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _describe_stored_row(file: Path, first: int, _: str, row: int) -> str:
    return f"{file} row {first + row}"


class DatasetReader:
    """Reads an imported data set; events can be streamed without loading them all.

    Every read drops events and attributes of erased users up to their erasure.
    """

    def __init__(self, path: Path) -> None:
        """Open the directory `path`; DatasetError if it holds no complete data set."""
        missing = [n for n in (*(f"{s.name}.parquet" for s in TABLES), INFO_FILE) if not (path / n).is_file()]
        if missing:
            raise DatasetError(f"{path} holds no imported data set: {', '.join(missing)} missing")
        self.path = path
        with reading(path / INFO_FILE):
            self.info: dict[str, Any] = dict(json.loads((path / INFO_FILE).read_text(encoding="utf-8")))
        self._erasures = read_erasures(path)

    def rows(self, table: str) -> int:
        """Number of rows of a table from its metadata; includes those of erased users."""
        if self._is_absent(table):
            return 0
        with reading(self._file(table)):
            return int(pq.read_metadata(self._file(table)).num_rows)

    def columns(self, table: str) -> list[str]:
        """Names of the columns that a table has on disk; nullable ones may be missing in older imports."""
        names: list[str] = self.schema(table).names
        return names

    def schema(self, table: str) -> pa.Schema:
        """The schema of a table on disk."""
        if self._is_absent(table):
            return USERS.schema
        with reading(self._file(table)):
            return pq.read_schema(self._file(table))

    def batches(
        self, table: str, columns: Sequence[str] | None = None, batch_rows: int = ROW_GROUP_ROWS
    ) -> Iterator[pa.RecordBatch]:
        """Read the rows of a table in order, at most `batch_rows` at a time."""
        if self._is_absent(table):
            return
        with reading(self._file(table)), pq.ParquetFile(self._file(table)) as file:
            for batch in file.iter_batches(batch_rows, columns=self._columns_to_read(table, columns)):
                yield from self._without_erased(table, pa.Table.from_batches([batch]), columns).to_batches()

    def table(self, table: str, columns: Sequence[str] | None = None) -> pa.Table:
        """Read a whole table."""
        if self._is_absent(table):
            return USERS.schema.empty_table() if columns is None else USERS.schema.empty_table().select(list(columns))
        with reading(self._file(table)):
            read = pq.read_table(self._file(table), columns=self._columns_to_read(table, columns))
        return self._without_erased(table, read, columns)

    def check_contract(self, latest_s: float) -> None:
        """Raise DatasetError for values that the gateway would refuse, in an import from before these rules, say.

        Times after `latest_s`, seconds since 1970, are among them. Rows are counted from 1, as in the file; those of
        erased users are left out, and not counted.
        """
        problems: list[Problem] = []
        for spec in WRITTEN:
            first = 1
            for batch in self.batches(spec.name):
                table = pa.Table.from_batches([batch])
                place = partial(_describe_stored_row, self._file(spec.name), first)
                problems += find_contract_problems(spec.name, table, place, latest_s)
                first += table.num_rows
        if problems:
            raise DatasetError(f"{len(problems)} values of {self.path} break the events contract", problems)

    def dataset(self) -> Dataset:
        """Read all tables and the erasures into memory."""
        tables = {spec.name: self.table(spec.name) for spec in WRITTEN}
        return Dataset(
            **tables,
            erasures=self._erasures,
            source=self.info.get("source", {}),
            notes=tuple(self.info.get("notes", ())),
        )

    def _file(self, table: str) -> Path:
        return self.path / f"{table}.parquet"

    def _is_absent(self, table: str) -> bool:
        """Whether the table is that of users, and the import from before there was one."""
        return table == USERS.name and not self._file(table).is_file()

    def _columns_to_read(self, table: str, columns: Sequence[str] | None) -> list[str] | None:
        """The requested columns, and those that erasures need."""
        if columns is None:
            return None
        filtered = table in OF_USERS and self._erasures.num_rows
        return list(dict.fromkeys([*columns, *(("user_id", "time") if filtered else ())]))

    def _without_erased(self, table: str, read: pa.Table, columns: Sequence[str] | None) -> pa.Table:
        """The requested columns, without rows of erased users."""
        if table not in OF_USERS or not self._erasures.num_rows:
            return read
        kept = drop_erased_events(read, self._erasures)
        return kept if columns is None else kept.select(list(columns))
