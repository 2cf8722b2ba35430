"""What a check found: a level, the numbers, and what they mean for training.

Knows the words and levels; doesn't know how anything is found.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Level = Literal["ok", "note", "warning", "error"]
LEVELS: tuple[Level, ...] = ("ok", "note", "warning", "error")

Number = int | float | str | list[str]


@dataclass(frozen=True)
class Finding:
    """One finding.

    Args:
        name: what was looked at, in words.
        level: ok; note: know it; warning: the model will be worse for it; error: do not train on this.
        meaning: what it means for training, and what to do.
        numbers: what was counted, by name.
    """

    name: str
    level: Level
    meaning: str
    numbers: Mapping[str, Number] = field(default_factory=dict)


def graded(share: float, note: float, warning: float, error: float = 2.0) -> Level:
    """The level of a share, 0 to 1: the highest one whose bound it exceeds."""
    bounds: tuple[tuple[Level, float], ...] = (("error", error), ("warning", warning), ("note", note))
    return next((level for level, bound in bounds if share > bound), "ok")
