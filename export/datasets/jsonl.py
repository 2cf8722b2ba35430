"""The adapter of own files: JSON lines, CSV or Parquet, imported by the same rules.

A directory with `events`, `items` and `scenarios` files, with the columns of the three tables or mapped ones; and
optionally `users` with their attributes, and `erasures`. Knows the defaults of optional columns and tables.
"""

import hashlib
import json
import math
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from export.datasets.errors import DatasetError, Problem
from export.datasets.file_batches import BATCH_ROWS
from export.datasets.jsonl_files import SUFFIXES, find_files
from export.datasets.labels import make_labels
from export.datasets.mapping import ColumnMap, check_mapped
from export.datasets.own_files import read_own_files
from export.datasets.raw_tables import RawTable, TableFile, read_files
from export.datasets.splits import assign_splits, take_given_splits
from export.datasets.tables import (
    ALL_TABLES,
    EVENTS,
    ITEMS,
    SCENARIOS,
    USERS,
    Dataset,
    ReportStep,
    TableSpec,
    from_columns,
    sort_by_time,
    sort_events,
)
from export.datasets.validation import validate_dataset
from services.settings.source import SourceSettings
from services.settings.training import DatasetSettings

NO_LABELS = (
    "no event has a label: features can be replayed, but training needs labelled candidates or impressions: "
    "add a column label, or set dataset.label_events in the settings to derive labels"
)
LABELS_GIVEN = "the events have labels: dataset.label_events is not applied"
# Columns that identify an event without an id.
CONTENT_COLUMNS = ("user_id", "scenario_id", "item_id", "type", "time", "value", "text", "label", "request_id")


def load_jsonl(
    *,
    source: Path | None = None,
    events: Path | None = None,
    items: Path | None = None,
    scenarios: Path | None = None,
    users: Path | None = None,
    settings: DatasetSettings | None = None,
    reading: SourceSettings | None = None,
    latest_s: float = math.inf,
    report: ReportStep = lambda _: None,
) -> Dataset:
    """Read `source`, a directory, or single files; those given by name take precedence.

    Without either, the files of `reading` are read. Only events are required; `settings` define how labels and splits
    are made if the events have none, `reading` how the columns are called and times are written; times after
    `latest_s`, seconds since 1970, are invalid. Raises DatasetError with file, line, column and reason of each problem,
    and for what the files of `reading` would leave without a use.
    """
    rules, form = settings or DatasetSettings(), reading or SourceSettings()
    problems: list[Problem] = []
    raw = {}
    named = {"events": events, "items": items, "scenarios": scenarios, "users": users}
    listed = bool(form.files) and source is None and events is None
    if listed:
        _refuse_unused(form, named)
        report("reading the files of the settings")
        raw = read_own_files(form, ALL_TABLES, problems)
    else:
        paths = _paths(source, named)
        for spec in ALL_TABLES:
            report(f"reading {spec.name}")
            own = ColumnMap(form.columns, form.values if spec is EVENTS else {})
            raw[spec.name] = read_files(spec, [TableFile(path, own) for path in paths[spec.name]], problems, form)
    if problems:
        raise DatasetError(f"{len(problems)} invalid values", problems)
    if not listed:
        check_mapped(form.columns, {column for table in raw.values() for column in table.mapped})
    return finish_dataset(raw, rules, latest_s, report)


def finish_dataset(
    raw: dict[str, RawTable], rules: DatasetSettings, latest_s: float, report: ReportStep = lambda _: None
) -> Dataset:
    """The data set of these tables: with defaults, validated, with labels and splits by `rules`, sorted."""
    report("applying defaults and validating")
    dataset = _apply_defaults(raw, rules)
    derived, splits = _are_labels_derived(dataset.events, rules), None
    if derived:
        without, splits = take_given_splits(dataset.events, raw["events"].place)
        dataset = replace(dataset, events=without)
    validate_dataset(dataset, lambda table, row: raw[table].place(row), latest_s)
    if derived:
        report("making labels")
        dataset = make_labels(dataset, rules, splits)
    return replace(
        dataset,
        events=sort_events(dataset.events),
        items=sort_by_time(dataset.items),
        scenarios=sort_by_time(dataset.scenarios),
        erasures=sort_by_time(dataset.erasures),
        users=sort_by_time(dataset.users),
    )


def _refuse_unused(form: SourceSettings, named: dict[str, Path | None]) -> None:
    """Raise DatasetError for columns and files that the files of the settings leave without a use."""
    unused = [f"--map {target}={'/'.join(names)}" for target, names in form.columns.items()]
    unused += [f"--{table}" for table, path in named.items() if path is not None]
    if unused:
        raise DatasetError(
            f"source.files: {', '.join(unused)} would not be used: the settings list each file with its columns; "
            "change them there, or give the events by --source or --events"
        )


def _paths(source: Path | None, named: dict[str, Path | None]) -> dict[str, list[Path]]:
    if source is not None and not source.is_dir():
        raise DatasetError(f"{source} is not a directory")
    paths: dict[str, list[Path]] = {}
    for table, path in {**named, "erasures": None}.items():
        if path is not None and not (path.is_file() and path.name.endswith(SUFFIXES)):
            raise DatasetError(f"{path} is not a file that ends in {', '.join(SUFFIXES)}")
        paths[table] = [path] if path else find_files(source, table) if source else []
    if not paths["events"]:
        where = f"{source} has no" if source else "needs a source directory, or an"
        raise DatasetError(f"{where} events file (events.csv, events.jsonl or events.parquet)")
    return paths


def _apply_defaults(raw: dict[str, RawTable], rules: DatasetSettings) -> Dataset:
    """The raw tables with defaults; added rows come last, so that row numbers still match lines."""
    warnings = [note for table in raw.values() for note in table.notes]
    remarks: list[str] = []
    events = _apply_event_defaults(raw["events"].table, rules, warnings, remarks)
    first = _start_time(events, rules)
    started = _start_items(events, rules)
    items = _replace_column(raw["items"].table, "time", lambda t: pc.coalesce(t["time"], started(t["item_id"])))
    items = _replace_column(
        items, "title", lambda t: pc.if_else(t["scenario_id"].is_null(), pc.fill_null(t["title"], ""), t["title"])
    )
    scenarios = _replace_column(raw["scenarios"].table, "time", lambda t: pc.fill_null(t["time"], first))
    scenarios = _replace_column(scenarios, "name", lambda t: pc.coalesce(t["name"], t["scenario_id"]))
    scenarios = _replace_column(scenarios, "description", lambda t: pc.fill_null(t["description"], ""))
    listed = items["item_id"].filter(items["scenario_id"].is_null())
    unlisted = _unlisted([events["item_id"], items["item_id"]], listed)
    items = _add_missing_rows(ITEMS, items, unlisted, started(pa.array(unlisted, pa.string())), warnings)
    places = [events["scenario_id"], items["scenario_id"]]
    unlisted = _unlisted(places, scenarios["scenario_id"])
    scenarios = _add_missing_rows(SCENARIOS, scenarios, unlisted, pa.repeat(first, len(unlisted)), warnings)
    erasures, users = raw["erasures"].table, raw["users"].table if "users" in raw else USERS.schema.empty_table()
    return Dataset(
        events,
        items,
        scenarios,
        warnings=tuple(warnings),
        remarks=tuple(remarks),
        erasures=erasures,
        users=_replace_column(users, "time", lambda t: pc.fill_null(t["time"], first)),
    )


def _are_labels_derived(events: pa.Table, rules: DatasetSettings) -> bool:
    return bool(rules.label_events) and events["label"].null_count == len(events)


def _label_lead(events: pa.Table, rules: DatasetSettings) -> pa.Scalar:
    """How much earlier than its event a labelled row is."""
    return pa.scalar(timedelta(milliseconds=1 if _are_labels_derived(events, rules) else 0), pa.duration("ms"))


def _start_time(events: pa.Table, rules: DatasetSettings) -> pa.Scalar:
    """Start of validity of scenarios without a time: the time of the first event, or of the label derived from it."""
    return pc.subtract(pc.min(events["time"]), _label_lead(events, rules))


def _start_items(
    events: pa.Table, rules: DatasetSettings
) -> Callable[[pa.Array | pa.ChunkedArray], pa.Array | pa.ChunkedArray]:
    """The start of validity of items without a time, by their ids.

    That of their first event, or of the label derived from it: nothing says that they existed before. An item without
    any event begins with the last one, so that it can be ranked, but is drawn as no negative.
    """
    used = events.select(["item_id", "time"]).drop_null().group_by("item_id").aggregate([("time", "min")])
    ids, starts = used["item_id"].combine_chunks(), pc.subtract(used["time_min"], _label_lead(events, rules))
    last = pc.max(events["time"])
    return lambda wanted: pc.fill_null(starts.take(pc.index_in(wanted, value_set=ids)), last)


def _apply_event_defaults(
    events: pa.Table, rules: DatasetSettings, warnings: list[str], remarks: list[str]
) -> pa.Table:
    if not len(events):
        raise DatasetError("there are no events")
    if events["event_id"].null_count:
        events = _replace_column(events, "event_id", _event_ids)
    if events["label"].null_count == len(events):
        if not rules.label_events:
            warnings.append(NO_LABELS)
        return events
    if rules.label_events:
        warnings.append(LABELS_GIVEN)
    if events["split"].null_count == len(events) and not (events["time"].null_count or events["user_id"].null_count):
        events = assign_splits(events, rules, remarks)
    return events


def _replace_column(table: pa.Table, column: str, values: Callable[[pa.Table], pa.ChunkedArray]) -> pa.Table:
    """The table with `column` replaced by the computed values."""
    at = table.schema.get_field_index(column)
    return table.set_column(at, table.schema.field(column), values(table))


def _event_ids(events: pa.Table) -> pa.Array:
    """The given ids; otherwise a hash of the event's content, with a counter for equal events."""
    seen: Counter[str] = Counter()
    ids: list[str] = []
    times = events["time"].cast(pa.int64())
    for batch in _content_table(events, times).to_batches(max_chunksize=BATCH_ROWS):
        given = batch.column(0).to_pylist()
        content = zip(*(column.to_pylist() for column in batch.columns[1:]), strict=True)
        ids.extend(
            known if known is not None else _content_id(row, seen) for known, row in zip(given, content, strict=True)
        )
    return pa.array(ids, pa.string())


def _content_table(events: pa.Table, times: pa.ChunkedArray) -> pa.Table:
    """Id and content columns only, time as a number."""
    arrays = [times if name == "time" else events[name] for name in ("event_id", *CONTENT_COLUMNS)]
    return pa.Table.from_arrays(arrays, names=["event_id", *CONTENT_COLUMNS])


def _content_id(row: tuple[object, ...], seen: Counter[str]) -> str:
    digest = hashlib.blake2b(json.dumps(row).encode(), digest_size=12).hexdigest()
    seen[digest] += 1
    return digest if seen[digest] == 1 else f"{digest}-{seen[digest]}"


def _unlisted(uses: list[pa.ChunkedArray], listed: pa.ChunkedArray) -> list[str]:
    """Ids in `uses` that `listed` lacks, in order of appearance; empty ids are reported by the validation."""
    used = pc.unique(pa.chunked_array([chunk for use in uses for chunk in use.chunks], pa.string()))
    known = set(listed.to_pylist())
    return [name for name in used.to_pylist() if name and name not in known]


def _add_missing_rows(
    spec: TableSpec, table: pa.Table, ids: list[str], times: pa.Array | pa.ChunkedArray, warnings: list[str]
) -> pa.Table:
    """The table with an added row without text for each of the ids, valid from its time."""
    if not ids:
        return table
    warnings.append(
        f"{len(ids)} {spec.name} are used but not in the {spec.name} table: created without text, for example {ids[0]}"
    )
    empty: dict[str, object] = {"time": times}
    if spec is ITEMS:
        empty |= {
            "item_id": ids,
            "title": [""] * len(ids),
            "categories": [[]] * len(ids),
            "attributes": [[]] * len(ids),
        }
    else:
        empty |= {"scenario_id": ids, "name": ids, "description": [""] * len(ids)}
    return pa.concat_tables([table, from_columns(spec, empty, len(ids))])
