"""The report of a data set check: findings with a level, and counts.

Knows levels and fields; knows nothing of the checks.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Level = Literal["ok", "note", "warning", "error"]
LEVELS: tuple[Level, ...] = ("ok", "note", "warning", "error")

Number = int | float | str | list[str]


@dataclass(frozen=True)
class Finding:
    """Result of one check.

    Args:
        name: name of the check.
        level: ok; note: for information; warning: lowers the quality of the model; error: do not train on this data.
        meaning: consequence for training, and what to do.
        numbers: counts and shares, by name.
    """

    name: str
    level: Level
    meaning: str
    numbers: Mapping[str, Number] = field(default_factory=dict)

    def numbers_text(self) -> str:
        """The numbers in words: thousands apart, shares in per cent, the first ten of a list."""
        return ", ".join(f"{name} {_format_number(name, value)}" for name, value in self.numbers.items())


def _format_number(name: str, value: Number) -> str:
    if isinstance(value, list):
        return ", ".join(value[:10]) + (f" and {len(value) - 10} more" if len(value) > 10 else "")
    if name == "share":
        return f"{float(value):.1%}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def level_of_share(share: float, note: float, warning: float, error: float = 2.0) -> Level:
    """The level of a share, 0 to 1: the highest one whose bound it exceeds."""
    bounds: tuple[tuple[Level, float], ...] = (("error", error), ("warning", warning), ("note", note))
    return next((level for level, bound in bounds if share > bound), "ok")


@dataclass(frozen=True)
class CheckReport:
    """Result of all checks.

    Args:
        tables: number of events, labelled rows, users, items and scenarios.
        events: number of events per scenario and type; without zeros.
        first_day: ISO date (UTC) of the first event.
        days: events per day from the first day on; 0 for a gap.
        labels: labelled rows and positives per scenario and split; without empty ones.
        findings: in the order of the checks.
    """

    tables: dict[str, int]
    events: dict[str, dict[str, int]]
    first_day: str
    days: list[int]
    labels: list[dict[str, str | int]]
    findings: list[Finding] = field(default_factory=list)

    @property
    def worst(self) -> Level:
        """The highest level among the findings."""
        return max((finding.level for finding in self.findings), key=LEVELS.index, default="ok")

    def as_json(self) -> dict[str, Any]:
        """Plain values, with the worst level and the number of findings per level."""
        levels = {level: sum(f.level == level for f in self.findings) for level in LEVELS}
        return {"worst": self.worst, "levels": levels, **asdict(self)}
