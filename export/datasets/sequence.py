"""The adapter of plain sequence files: a line for each user, with the user's id and its items in order.

Such files have no times. Made ones keep the order: each user's last item has the same time, the one before it is a
second earlier, and so on; so what precedes a row in time is what the benchmarks on such files may use. Knows lines;
optional categories of items stand in a JSON file beside it.
"""

import json
import math
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from export.datasets.errors import DatasetError, Problem
from export.datasets.jsonl import finish_dataset
from export.datasets.raw_tables import RawTable, raw_table
from export.datasets.tables import ERASURES, EVENTS, ITEMS, SCENARIOS, Dataset, ReportStep, TableSpec
from export.datasets.times import ORDER_ORIGIN_MS
from services.events.checks import MAX_CATEGORIES
from services.settings.source import SourceSettings
from services.settings.training import DatasetSettings

CATEGORIES_SUFFIX = "_item2attributes.json"
"""Behind the name of a sequence file: its items' categories."""

EXPECTED = "a line for each user, its id and its items in order, separated by spaces: u1 i7 i3"
MADE_TIMES = (
    "the file has no times: made ones, a second apart, keep the order; each user's last item is at {last}. Half-lives "
    "are in items, not in seconds"
)
SECOND_MS = 1000


def load_sequence(
    *,
    source: Path | None = None,
    items: Path | None = None,
    settings: DatasetSettings | None = None,
    reading: SourceSettings | None = None,
    latest_s: float = math.inf,
    report: ReportStep = lambda _: None,
) -> Dataset:
    """Read the file `source`, and categories from `items`: JSON, item id to a list of names.

    `reading` may give the type of all events (click by default) and their scenario; `settings` define labels and
    splits. Raises DatasetError with file, line and reason of each problem.
    """
    if source is None:
        raise DatasetError(f"sequence needs --source, a file with {EXPECTED}")
    path = _find(source)
    report("reading sequences")
    problems: list[Problem] = []
    values = (reading or SourceSettings()).values
    events = _events(path, values, problems)
    beside = items or path.with_name(path.stem + CATEGORIES_SUFFIX)
    raw = {
        "events": events,
        "items": _items(beside, problems) if items or beside.exists() else _nothing(ITEMS),
        "scenarios": _nothing(SCENARIOS),
        "erasures": _nothing(ERASURES),
    }
    if problems:
        raise DatasetError(f"{len(problems)} invalid values", problems)
    return finish_dataset(raw, settings or DatasetSettings(), latest_s, report)


def _find(source: Path) -> Path:
    if source.is_dir():
        texts = sorted(source.glob("*.txt"))
        if len(texts) != 1:
            raise DatasetError(f"{source} is a directory with {len(texts)} .txt files; name the one with {EXPECTED}")
        return texts[0]
    return source


def _nothing(spec: TableSpec) -> RawTable:
    return RawTable(spec, spec.schema.empty_table(), [])


def _events(path: Path, values: dict[str, str], problems: list[Problem]) -> RawTable:
    """An event for each item of each line."""
    users, items, lines, lengths = list[str](), list[str](), list[int](), list[int]()
    known: dict[str, int] = {}
    for number, words in _lines(path):
        if len(words) < 2:
            problems.append(Problem(f"{path.name}:{number}", "", f"{words[0]!r} has no items; expected {EXPECTED}"))
            continue
        if known.setdefault(words[0], number) != number:
            first = known[words[0]]
            problems.append(Problem(f"{path.name}:{number}", "user_id", f"{words[0]!r} has line {first} already"))
        users += words[:1] * (len(words) - 1)
        items += words[1:]
        lines += [number] * (len(words) - 1)
        lengths.append(len(words) - 1)
    if not items:
        raise DatasetError(f"{path}: is empty; expected {EXPECTED}", problems)
    last = ORDER_ORIGIN_MS + max(lengths) * SECOND_MS
    times = [str(last - left * SECOND_MS) for length in lengths for left in reversed(range(length))]
    columns = {
        "user_id": users,
        "item_id": items,
        "time": times,
        "type": [values.get("type", "click")] * len(items),
        "scenario_id": [values.get("scenario_id", "all")] * len(items),
    }
    table = raw_table(EVENTS, columns, lambda row: f"{path.name}:{lines[row]}", problems)
    table.notes.append(MADE_TIMES.format(last=f"{datetime.fromtimestamp(last / SECOND_MS, UTC):%Y-%m-%d %H:%M:%S} UTC"))
    return table


def _lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Line number and words of each line that is not blank."""
    try:
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, start=1):
                if words := line.split():
                    yield number, words
    except (OSError, UnicodeDecodeError) as error:
        reason = "is not UTF-8 text" if isinstance(error, UnicodeDecodeError) else f"cannot be read: {error.strerror}"
        raise DatasetError(f"{path}: {reason}; expected {EXPECTED}") from error


def _items(path: Path, problems: list[Problem]) -> RawTable:
    """The items of a JSON file with their categories."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise DatasetError(f"{path}: is not JSON: {error}") from None
    if not isinstance(found, dict):
        raise DatasetError(f'{path}: expected an object, item id to a list of names: {{"i7": ["tea"]}}')
    wrong = [item for item, names in found.items() if not isinstance(names, list)]
    problems += [Problem(path.name, item, f"{found[item]!r:.40} is not a list of names") for item in wrong]
    ids = [item for item in found if item not in wrong]
    categories = [json.dumps([str(name) for name in found[item]][:MAX_CATEGORIES]) for item in ids]
    columns = {"item_id": ids, "title": [""] * len(ids), "categories": categories}
    return raw_table(ITEMS, columns, lambda row: f"{path.name} item {ids[row]}", problems)
