"""Result of a check, as a value."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class CheckState(StrEnum):
    """Severity of a result: only `wrong` keeps the settings from working."""

    OK = "ok"
    WARNING = "warning"
    WRONG = "wrong"


@dataclass(frozen=True)
class Check:
    """One line of the report.

    Args:
        name: what was checked.
        state: severity.
        found: the observed state.
        advice: what to do; empty for `ok`.
    """

    name: str
    state: CheckState
    found: str
    advice: str = ""


def ok(name: str, found: str) -> Check:
    """A passed check."""
    return Check(name, CheckState.OK, found)


def warning(name: str, found: str, advice: str) -> Check:
    """A check that passed with a restriction."""
    return Check(name, CheckState.WARNING, found, advice)


def wrong(name: str, found: str, advice: str) -> Check:
    """A failed check: something that the settings require is missing."""
    return Check(name, CheckState.WRONG, found, advice)


def exit_code(checks: Sequence[Check]) -> int:
    """1 if a check failed, else 0."""
    return int(any(check.state is CheckState.WRONG for check in checks))
