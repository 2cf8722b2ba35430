"""What a check found, as a value."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """How bad it is: only `wrong` keeps the settings from working."""

    OK = "ok"
    WARNING = "warning"
    WRONG = "wrong"


@dataclass(frozen=True)
class Check:
    """One line of the report.

    Args:
        name: what was looked at.
        state: how bad it is.
        found: what there is.
        advice: what to do about it; empty where all is well.
    """

    name: str
    state: State
    found: str
    advice: str = ""


def ok(name: str, found: str) -> Check:
    """All is well."""
    return Check(name, State.OK, found)


def warning(name: str, found: str, advice: str) -> Check:
    """It works, but not as well as it could."""
    return Check(name, State.WARNING, found, advice)


def wrong(name: str, found: str, advice: str) -> Check:
    """What the settings ask for cannot be had."""
    return Check(name, State.WRONG, found, advice)


def exit_code(checks: Sequence[Check]) -> int:
    """1 if something is wrong, else 0."""
    return int(any(check.state is State.WRONG for check in checks))
