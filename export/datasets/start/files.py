"""Which file is what: events, and what describes items, users and requests, in files of their own or in the events.

Pure, on profiles.
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from export.datasets.start.describe import Description, describe_items, describe_others, is_named_time
from export.datasets.start.names import ITEM, ITEM_WORDS, USER, USER_WORDS, plain, role_rank
from export.datasets.start.profile import ColumnProfile, FileProfile, parse_times
from export.datasets.start.proposed import Columns, Proposal, ProposedFile
from export.datasets.start.roles import EventRoles, depends_on, key_codes

KEYS = (USER, ITEM)

HALF = 0.5
"""Share of ids that are words, from which they are titles, too."""

MOSTLY = 0.95
"""Share of items without an event before a time, from which it says since when each is there."""

SAME = 0.99
"""Share of rows that agree, from which a column describes the item or the user."""


def event_files(files: list[FileProfile], given: dict[str, tuple[str, ...]]) -> tuple[FileProfile, list[FileProfile]]:
    """The largest file that says who acted on what, and all files with the same columns."""
    named = [f for f in files if all(_named(f, role) or set(given.get(role, ("",))) <= set(f.columns) for role in KEYS)]
    main = max(named or files, key=lambda f: f.rows)
    return main, [f for f in files if set(f.columns) == set(main.columns)]


def _named(file: FileProfile, role: str) -> bool:
    return any(role_rank(name, role) is not None for name in file.columns)


def describe_wide(file: FileProfile, roles: EventRoles, events: list[ProposedFile], proposal: Proposal) -> list[str]:
    """Columns of the events that describe items, users or requests; the names of those without a use."""
    item, user = key_codes(file, roles.columns[ITEM]), key_codes(file, roles.columns[USER])
    groups: dict[str, list[ColumnProfile]] = {"items": [], "users": [], "context": []}
    for column in file.columns.values():
        if column.name in roles.used or column.kind in {"empty", "object"} or column.distinct < 2:
            continue
        groups[_owner(column, item, user)].append(column)
    if USER in roles.columns and len(roles.columns[USER]) > 1:  # who acted was made of these
        groups["users"] += [file.columns[name] for name in roles.columns[USER]]
    unused = []
    for table, entity, described in (
        ("items", "item", describe_items(groups["items"])),
        ("users", "user", describe_others(groups["users"])),
        ("context", "context", describe_others(groups["context"])),
    ):
        unused += described.unused
        if table == "items" and "title" not in described.columns and _has_words(file, roles.columns[ITEM]):
            described.columns["title"] = roles.columns[ITEM][0]
        for part in events:
            target = part.tables.setdefault("events" if table == "context" else table, {})
            target |= _columns_of(described, table)
            if table != "context" and target:
                key = ITEM if table == "items" else USER
                part.tables[table] = {key: (roles.columns[key], "as in the events"), **target}
        proposal.attributes += [(entity, attribute) for attribute in described.attributes]
        if described.separator:
            proposal.source["list_separator"] = (described.separator, "between the names of a list in a cell")
    return unused


def _has_words(file: FileProfile, names: tuple[str, ...]) -> bool:
    """Whether the ids of items are words, which say what they are: letters alone, with spaces between them."""
    column = file.columns[names[0]]
    if len(names) > 1 or column.kind != "text":
        return False
    ids = pc.unique(column.values.drop_null())
    wordy = pc.match_substring_regex(ids, r"^[\p{L}\p{P}<> ]*\p{L}{3}[\p{L}\p{P}<> ]*$")
    return float(pc.mean(wordy.cast(pa.float64())).as_py() or 0.0) >= HALF


def _owner(column: ColumnProfile, item: np.ndarray, user: np.ndarray) -> str:
    """Whether a column describes items, users or, where both differ in it, the request."""
    of_item, of_user = depends_on(column, item), depends_on(column, user)
    named = any(role_rank(column.name, role) is not None for role in ("title", "description", "categories", "brand"))
    if of_item >= SAME and (of_user < SAME or named or len(np.unique(item)) <= len(np.unique(user))):
        return "items"
    if of_user >= SAME:
        return "users"
    priced = role_rank(column.name, "price") is not None
    return "items" if (named or priced) and of_item >= 0.8 else "context"


def _columns_of(described: Description, table: str) -> Columns:
    prefix = "context" if table == "context" else "attributes"
    found: Columns = {n: ((column,), "") for n, column in described.columns.items()}
    for attribute in described.attributes:
        whole = prefix if attribute.kind == "number" else CATEGORY_COLUMNS[prefix]
        found[f"{whole}.{attribute.name}"] = ((attribute.column,), attribute.why)
    return found


CATEGORY_COLUMNS = {"attributes": "category_attributes", "context": "context_categories"}
"""Columns that hold the words of attributes."""


def describing_file(file: FileProfile, main: FileProfile, roles: EventRoles, proposal: Proposal) -> ProposedFile:
    """A file that describes items or users: the one whose ids it has."""
    best: tuple[float, str, str] = (0.0, "", "")
    for role, words in ((ITEM, ITEM_WORDS), (USER, USER_WORDS)):
        if len(roles.columns[role]) > 1:
            continue
        known = main.columns[roles.columns[role][0]].values.drop_null().unique()
        for column in file.columns.values():
            rank = role_rank(column.name, role)
            share = _coverage(known, column)
            of_file = any(word in plain(file.path.stem) for word in words)
            score = share + 2 * (rank is not None or column.name == roles.columns[role][0]) + of_file
            score += 0.5 * (plain(column.name) in {"id", "key", ""})
            if share > 0.02 and score > best[0]:
                best = (score, role, column.name)
    _, role, key = best
    if not role:
        proposal.notes.append(f"{file.path.name} is left out: no column of it has ids of {main.path.name}")
        return ProposedFile(file, "left out", unused=list(file.columns))
    begin = find_begin(file, key, main, roles) if role == ITEM else None
    rest = [column for column in file.columns.values() if column.name not in {key, begin}]
    described = describe_items(rest) if role == ITEM else describe_others(rest)
    table = "items" if role == ITEM else "users"
    proposal.attributes += [(table[:-1], attribute) for attribute in described.attributes]
    if described.separator:
        proposal.source["list_separator"] = (described.separator, "between the names of a list in a cell")
    columns = {role: ((key,), f"{file.columns[key].distinct:,} different"), **_columns_of(described, table)}
    if begin:
        columns["time"] = ((begin,), "when the item came: hardly an event is earlier")
    return ProposedFile(file, table, {table: columns}, unused=described.unused)


def find_begin(items: FileProfile, key: str, main: FileProfile, roles: EventRoles) -> str | None:
    """The column of a file of items that says since when each is there: times that its events do not precede."""
    acted = roles.column("time", main)
    if not acted or acted.time_format or not acted.zoned or roles.unit == "order":
        return None
    ids, at = main.columns[roles.columns[ITEM][0]].values, parse_times(acted)
    if at is None:
        return None
    firsts = pa.table({"id": ids, "first": at}).group_by("id").aggregate([("first", "min")])
    for column in items.columns.values():
        if not is_named_time(column) or column.missing or column.time_format or not column.zoned:
            continue
        begins = pa.table({"id": items.columns[key].values, "begin": parse_times(column)})
        both = begins.join(firsts, "id", join_type="inner")
        share = pc.mean(pc.less_equal(both["begin"], both["first_min"]).cast(pa.float64())).as_py()
        if share is not None and share >= MOSTLY:
            return column.name
    return None


def _coverage(known: pa.Array, column: ColumnProfile) -> float:
    """Share of the ids that the column has."""
    found = pc.is_in(known, value_set=column.values.drop_null().unique())
    return float(pc.mean(found.cast(pa.float64())).as_py() or 0.0)
