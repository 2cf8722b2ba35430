"""The known scenarios and their rows, read again when they are older than the bound.

While the store is unavailable the last known ones are used. The number of scenarios is bounded, because the work of a
request grows with it, however many are listed in the store.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from services.features.rows import Block, pack_rows
from services.features.schema import Schema
from services.server.logging import log_event
from services.store.folding import read_scenario_ids
from services.store.protocol import Key, RowStore, StoreUnavailable, read_block

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Scenarios:
    """The known scenarios, sorted by id: axis J of every tensor."""

    ids: tuple[str, ...]
    rows: Block
    activity: Block
    available: bool

    def index(self, scenario: str) -> int | None:
        """Position of a scenario, None if it is not known."""
        return self.ids.index(scenario) if scenario in self.ids else None


class ScenarioCache:
    """Reads scenarios through a store.

    Args:
        store: the online store.
        schema: the feature schema.
        age_s: seconds until they are read again.
        most: most scenarios; of more, those with the most activity are used.
        clock: monotonic seconds.
    """

    def __init__(
        self, store: RowStore, schema: Schema, age_s: float, most: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._store, self._schema, self._age_s, self._clock = store, schema, age_s, clock
        self._most, self._unused = most, 0
        self._lock = threading.Lock()
        self._read_at = -float("inf")
        nothing = pack_rows(schema["scenario"], []), pack_rows(schema["scenario_activity"], [])
        self._known = Scenarios((), nothing[0], nothing[1], available=True)

    def current(self) -> Scenarios:
        """The scenarios, at most `age_s` seconds old unless the store is unavailable."""
        with self._lock:
            if self._clock() - self._read_at > self._age_s:
                try:
                    self._replace(self._read())
                except StoreUnavailable:
                    return Scenarios(self._known.ids, self._known.rows, self._known.activity, available=False)
            return self._known

    def refresh_if_due(self) -> Scenarios:
        """Read the scenarios again if they are older than `age_s` / 2; meanwhile requests use the known ones.

        Raises StoreUnavailable.
        """
        if self._clock() - self._read_at > self._age_s / 2:
            read = self._read()
            with self._lock:
                self._replace(read)
        return self._known

    def _replace(self, scenarios: Scenarios) -> None:
        self._known, self._read_at = scenarios, self._clock()

    def _read(self) -> Scenarios:
        ids = read_scenario_ids(self._store, self._schema)
        keys: list[Key] = [(scenario,) for scenario in ids]
        rows = read_block(self._store, self._schema["scenario"], keys)
        activity = read_block(self._store, self._schema["scenario_activity"], keys)
        places = self._choose(rows, activity)
        chosen = tuple(ids[place] for place in places)
        return Scenarios(chosen, _take(rows, places), _take(activity, places), available=True)

    def _choose(self, rows: Block, activity: Block) -> list[int]:
        """Places of the scenarios to use, in their order: those that are not deleted, at most `most`."""
        described = np.flatnonzero(rows.floats("updated_s") > 0)
        counts = activity.floats("counts").sum(axis=1)[described]
        chosen = described[np.argsort(-counts, kind="stable")[: self._most]]
        unused = len(described) - len(chosen)
        if unused != self._unused:
            self._unused = unused
            log_event(_logger, "scenarios_over_limit", level=logging.WARNING, unused=unused, most=self._most)
        places: list[int] = np.sort(chosen).tolist()
        return places


def _take(block: Block, places: Sequence[int]) -> Block:
    """The rows of a block without ragged features at these places."""
    return Block(block.view, len(places), {name: column[places] for name, column in block.fixed.items()}, {})
