"""Results of an experiment on disk: every finished fit is kept at once, so that what was stopped goes on from there.

Knows the file's form; knows nothing of what the measures mean.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from export.experiments.fits import ExperimentError, Fit, Measures, Row


class Results:
    """The file `<experiment>.json`: {"settings", "rows", "fits": {key: {"seconds", "row_passes", "measures"}}}.

    Args:
        path: of the file.
        settings: what all fits share. A file of other settings raises ExperimentError, naming what differs.
        restart: drop what is there.
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
            found = "; ".join(f"{n} was {theirs.get(n)}, is {self._settings.get(n)}" for n in differing)
            raise ExperimentError(f"{self.path} holds fits of other settings ({found}): pass --restart to drop them")
        self._fits = held["fits"]

    @property
    def done(self) -> dict[str, Measures]:
        """Measures of the finished fits, by key."""
        return {key: fit["measures"] for key, fit in self._fits.items()}

    @property
    def seconds_per_pass(self) -> float | None:
        """What a row cost so far each time; None before the first fit."""
        rows = sum(fit["row_passes"] for fit in self._fits.values())
        return sum(fit["seconds"] for fit in self._fits.values()) / rows if rows else None

    def keep(self, fit: Fit, measures: Measures, seconds: float, row_passes: int) -> None:
        """Hold a finished fit; `write` puts it on disk."""
        self._fits[fit.key] = {"seconds": round(seconds, 2), "row_passes": row_passes, "measures": measures}

    def write(self, rows: list[Row]) -> None:
        """Replace the file, at once or not at all."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        content = {"settings": self._settings, "rows": rows, "fits": self._fits}
        staged = self.path.with_suffix(".tmp")
        staged.write_text(json.dumps(content, indent=1) + "\n")
        staged.replace(self.path)
