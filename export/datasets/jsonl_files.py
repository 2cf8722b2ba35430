"""Finds the files of a table in a directory, by their names: JSON lines, CSV or Parquet.

Refuses data that would count twice. Knows names and copies; knows nothing of what files hold.
"""

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from export.datasets.errors import DatasetError

JSON_SUFFIXES = (".jsonl", ".ndjson", ".jsonl.gz", ".ndjson.gz")
CSV_SUFFIXES = (".csv", ".tsv", ".csv.gz", ".tsv.gz")
SUFFIXES = (*JSON_SUFFIXES, *CSV_SUFFIXES, ".parquet")
UNREADABLE_SUFFIXES = (".zst", ".bz2", ".xz", ".lz4", ".br", ".zip")
OTHER_SUFFIXES = {
    ".json": "one JSON object a line is read, in a file that ends in .jsonl",
    ".xlsx": "save the sheet as CSV",
    ".xls": "save the sheet as CSV",
    ".parq": "name it .parquet",
    ".pq": "name it .parquet",
}
"""Ends of names that files of a table have at times, and what to do."""


def find_files(directory: Path, table: str) -> list[Path]:
    """Find the files of a table in a directory: `events.jsonl`, or parts such as `events-00.parquet`.

    Raises DatasetError if two of them are the same data, or one is compressed in a way that is not read.
    """
    named = sorted(p for p in directory.iterdir() if p.name.startswith((f"{table}.", f"{table}-")))
    for path in named:
        if path.suffix in UNREADABLE_SUFFIXES and path.stem.endswith(SUFFIXES):
            raise DatasetError(f"{path}: files that end in {path.suffix} are not read; use {', '.join(SUFFIXES)}")
        if path.suffix in OTHER_SUFFIXES:
            raise DatasetError(f"{path}: files that end in {path.suffix} are not read: {OTHER_SUFFIXES[path.suffix]}")
    found = [path for path in named if path.name.endswith(SUFFIXES)]
    _refuse_duplicates(found, table)
    return found


def _refuse_duplicates(paths: Sequence[Path], table: str) -> None:
    """Raise DatasetError for two files of a table that are one part in two forms, or copies: rows would count twice."""
    by_part: dict[str, list[Path]] = defaultdict(list)
    for path in paths:
        by_part[path.name[: -len(next(s for s in reversed(SUFFIXES) if path.name.endswith(s)))]].append(path)
    for same in by_part.values():
        if len(same) > 1:
            raise DatasetError(f"{_names(same)} in {same[0].parent} are the same part of {table}: remove all but one")
    if table in by_part and len(paths) > 1:
        parts = [path for path in paths if path != by_part[table][0]]
        raise DatasetError(
            f"{by_part[table][0]} stands beside the parts {_names(parts)}: remove it if they hold the same rows, else "
            f"name it {table}-0{by_part[table][0].name.removeprefix(table)}"
        )
    by_size: dict[int, list[Path]] = defaultdict(list)
    for path in paths:
        if path.is_file():
            by_size[path.stat().st_size].append(path)
    for size, alike in by_size.items():
        seen: dict[bytes, Path] = {}
        for path in alike if size and len(alike) > 1 else ():
            first = seen.setdefault(_digest(path), path)
            if first != path:
                raise DatasetError(f"{first.name} and {path.name} in {path.parent} have the same content: remove one")


def _names(paths: Sequence[Path]) -> str:
    shown = [path.name for path in paths[:3]]
    return " and ".join(shown) if len(paths) <= len(shown) else f"{', '.join(shown)} and {len(paths) - len(shown)} more"


def _digest(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "blake2b").digest()
