"""Results of an experiment on disk: every finished fit is written at once, so an interrupted experiment can resume.

Knows the file's format; knows nothing of the measures' meaning.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from export.experiments.fits import ExperimentError, Fit, Measures, ResultRow


class ExperimentResults:
    """The file `<experiment>.json`: {"settings", "rows", "fits": {key: {"seconds", "row_passes", "measures"}}}.

    Args:
        path: path of the file.
        settings: settings of all fits. A file with other settings raises ExperimentError, naming the differences.
        restart: discard an existing file.
    """

    def __init__(self, path: Path, settings: Mapping[str, Any], *, restart: bool = False) -> None:
        self.path, self._settings = path, json.loads(json.dumps(settings))
        self._fits: dict[str, dict[str, Any]] = {}
        if path.exists() and not restart:
            self._load()

    def _load(self) -> None:
        held = json.loads(self.path.read_text())
        theirs = held["settings"]
        names = sorted(set(theirs) | set(self._settings))
        if differing := [name for name in names if theirs.get(name) != self._settings.get(name)]:
            parts = "; ".join(f"{n} was {theirs.get(n)}, is {self._settings.get(n)}" for n in differing)
            raise ExperimentError(f"{self.path} holds fits of other settings ({parts}): pass --restart to discard them")
        self._fits = held["fits"]

    @property
    def done(self) -> dict[str, Measures]:
        """Measures of the finished fits, by key."""
        return {key: fit["measures"] for key, fit in self._fits.items()}

    @property
    def seconds_per_pass(self) -> float | None:
        """Measured seconds per row and pass; None before the first fit."""
        rows = sum(fit["row_passes"] for fit in self._fits.values())
        return sum(fit["seconds"] for fit in self._fits.values()) / rows if rows else None

    def add(self, fit: Fit, measures: Measures, seconds: float, row_passes: int) -> None:
        """Add a finished fit; `write` writes it to disk."""
        self._fits[fit.key] = {"seconds": round(seconds, 2), "row_passes": row_passes, "measures": measures}

    def write(self, rows: list[ResultRow]) -> None:
        """Replace the file atomically."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        content = {"settings": self._settings, "rows": rows, "fits": self._fits}
        staged = self.path.with_suffix(".tmp")
        staged.write_text(json.dumps(content, indent=1) + "\n")
        staged.replace(self.path)
