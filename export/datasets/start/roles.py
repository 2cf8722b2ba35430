"""Which column of a file is the user, the item, the time and so on: from names first, then from what columns hold.

Pure, on profiles. A guess that names do not support is told in a note.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from export.datasets.start.names import ITEM, TYPE_WORDS, USER, best_column, role_rank, word_of
from export.datasets.start.profile import ColumnProfile, FileProfile, is_time

MOST_SCENARIOS = 30
RUN_SHARE = 0.7
"""Share of rows that have the value of the row before them, from which a column may describe who acted."""


@dataclass
class EventRoles:
    """The columns of a file of events by role; `unit` is "order" for numbers or rows that only have an order."""

    columns: dict[str, tuple[str, ...]] = field(default_factory=dict)
    unit: str = "auto"
    notes: list[str] = field(default_factory=list)

    @property
    def used(self) -> set[str]:
        """All columns that have a role."""
        return {name for names in self.columns.values() for name in names}

    def column(self, role: str, file: FileProfile) -> ColumnProfile | None:
        """The profile of the one column of a role."""
        names = self.columns.get(role, ())
        return file.columns[names[0]] if len(names) == 1 else None


def find_event_roles(file: FileProfile, given: dict[str, tuple[str, ...]]) -> EventRoles:
    """The roles in a file of events; those `given` are taken as they are."""
    roles = EventRoles({role: names for role, names in given.items() if set(names) <= set(file.columns)})
    for find in (_find_time, _find_label, _find_value, _find_type, _find_item, _find_user, _find_others):
        find(file, roles)
    return roles


def _free(file: FileProfile, roles: EventRoles) -> list[ColumnProfile]:
    return [c for c in file.columns.values() if c.name not in roles.used and c.kind not in {"empty", "object"}]


def _take(roles: EventRoles, role: str, fits: Iterable[ColumnProfile]) -> str | None:
    """Give the role to the best named of the columns that fit, unless it is given."""
    if role in roles.columns:
        return None
    name = best_column([column.name for column in fits], role)
    if name is not None:
        roles.columns[role] = (name,)
    return name


def _find_time(file: FileProfile, roles: EventRoles) -> None:
    free = _free(file, roles)
    times = [column for column in free if is_time(column)]
    if _take(roles, "time", times) or "time" in roles.columns:
        return
    if real := sorted((c for c in times if not _named_id(c)), key=lambda column: column.kind != "time"):
        roles.columns["time"] = (real[0].name,)
        roles.notes.append(f"{real[0].name} is taken as the time of the events: what it holds are times")
        return
    roles.unit = "order"
    numbers = [column for column in free if column.kind in {"integer", "number"} and column.distinct > 2]
    if name := _take(roles, "time", numbers):
        roles.notes.append(f"{name} is no time since 1970: its numbers order the events, a second each from 2000 on")
    else:
        roles.notes.append("no column is a time: the order of the rows is taken, a second each from 2000 on")


def _named_id(column: ColumnProfile) -> bool:
    return any(role_rank(column.name, role) is not None for role in (USER, ITEM, "request_id"))


def _find_label(file: FileProfile, roles: EventRoles) -> None:
    _take(roles, "label", [column for column in _free(file, roles) if column.binary])


def _find_value(file: FileProfile, roles: EventRoles) -> None:
    numbers = [c for c in _free(file, roles) if c.kind in {"integer", "number"} and c.distinct > 2]
    _take(roles, "value", numbers)


def _find_type(file: FileProfile, roles: EventRoles) -> None:
    few = [c for c in _free(file, roles) if c.kind == "text" and c.distinct <= MOST_SCENARIOS]
    _take(roles, "type", [c for c in few if any(word_of(word, TYPE_WORDS) for word in c.words)])


def _find_item(file: FileProfile, roles: EventRoles) -> None:
    free = [c for c in _free(file, roles) if c.kind in {"integer", "text"} and c.distinct > 1]
    if _take(roles, ITEM, free) or ITEM in roles.columns:
        return
    others = [c for c in free if role_rank(c.name, USER) is None and 1 < c.distinct < 0.9 * file.rows]
    if others:
        best = max(others, key=lambda c: c.distinct)
        roles.columns[ITEM] = (best.name,)
        roles.notes.append(f"{best.name} is taken as the item: of the columns that repeat, it has most values")


def _find_user(file: FileProfile, roles: EventRoles) -> None:
    free = [c for c in _free(file, roles) if c.kind in {"integer", "text"} and c.distinct > 1]
    if _take(roles, USER, free) or USER in roles.columns:
        return
    same = [column.name for column in free if _runs(column)]
    if same:
        roles.columns[USER] = tuple(same)
        roles.notes.append(
            f"no column is called like a user: rows with the same {', '.join(same)} are taken as one user's, since "
            "these columns change less from row to row than by chance"
        )


def _runs(column: ColumnProfile) -> bool:
    """Whether rows often have the value of the row before: as where the rows of a person stand together."""
    codes = column.codes
    if len(codes) < 3:
        return False
    same = float(np.mean(codes[1:] == codes[:-1]))
    share = np.bincount(codes + 1) / len(codes)
    chance = float((share**2).sum())
    return same >= RUN_SHARE and same - chance >= 0.5 * (1 - chance)


def _find_others(file: FileProfile, roles: EventRoles) -> None:
    few = [c for c in _free(file, roles) if 2 <= c.distinct <= MOST_SCENARIOS and c.missing < 0.5]
    words = [c for c in few if c.kind == "text" or (c.kind == "integer" and c.distinct <= 12)]
    _take(roles, "scenario_id", words)
    _take(roles, "request_id", [c for c in _free(file, roles) if c.kind in {"integer", "text"}])
    _take(roles, "split", [c for c in few if c.kind == "text" and c.distinct <= 4])


def depends_on(column: ColumnProfile, keys: np.ndarray) -> float:
    """Share of rows whose value is the first one of their key, of rows whose key repeats; 1 if none does."""
    order = np.argsort(keys, kind="stable")
    sorted_keys, values = keys[order], column.codes[order]
    begin = np.flatnonzero(np.concatenate([[True], sorted_keys[1:] != sorted_keys[:-1]]))
    size = np.diff(np.append(begin, len(keys)))
    first = np.repeat(values[begin], size)
    later = np.ones(len(keys), bool)
    later[begin] = False
    later &= values >= 0
    return float(np.mean(values[later] == first[later])) if later.any() else 1.0


def key_codes(file: FileProfile, names: Sequence[str]) -> np.ndarray:
    """A code per row for the values of some columns together."""
    stacked = np.stack([file.columns[name].codes for name in names])
    return np.unique(stacked, axis=1, return_inverse=True)[1].reshape(-1)
