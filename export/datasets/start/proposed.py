"""What is proposed: the files with their columns by table, and settings, each with why.

Plain values; proposal.py makes them, write.py writes them.
"""

from dataclasses import dataclass, field
from typing import Any

from export.datasets.start.describe import ProposedAttribute
from export.datasets.start.profile import FileProfile

Setting = tuple[Any, str]
"""A value and why it is proposed."""

Columns = dict[str, tuple[tuple[str, ...], str]]
"""Columns of a file for a column of a table, and why."""


@dataclass
class ProposedFile:
    """A file with its columns by table, each with why, and values that are the same for all rows."""

    profile: FileProfile
    role: str
    tables: dict[str, Columns] = field(default_factory=dict)
    values: dict[str, Setting] = field(default_factory=dict)
    unused: list[str] = field(default_factory=list)


@dataclass
class Proposal:
    """The files, and settings by section; `attributes` with their entity; `notes` are guesses to look at."""

    files: list[ProposedFile]
    source: dict[str, Setting] = field(default_factory=dict)
    dataset: dict[str, Setting] = field(default_factory=dict)
    features: dict[str, Setting] = field(default_factory=dict)
    half_lives: Setting | None = None
    attributes: list[tuple[str, ProposedAttribute]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
