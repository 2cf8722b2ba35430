"""What becomes of events in scenarios that no ScenarioUpdate registered: a setting.

An event may name any scenario, and each one takes rows of the user, of the item and of the scenario. Nothing reads the
rows of an unregistered one, so that accepting them is for producers that are trusted, or ahead of the catalogue.
"""

import time
from collections.abc import Callable, Collection, Sequence

from crossrec.events.v1.events_pb2 import Entry
from services.consumers.dead_letters.record import DeadLetter
from services.kafka.record_source import Record
from services.settings.processes import UnregisteredScenarios

POOL = "unregistered"
"""Scenario under which the events of unregistered ones are counted together."""

_REASON = (
    "behavior_event.scenario_id: no such scenario is registered, and consumers.unregistered_scenarios is `reject`: "
    "publish a ScenarioUpdate, then replay"
)

Decoded = Sequence[tuple[Record, Entry]]


class ScenarioGate:
    """Accepts, pools or rejects events by whether their scenario is registered.

    Args:
        mode: what becomes of events in other scenarios.
        read: returns the ids of the registered scenarios; may raise StoreUnavailable.
        max_age_s: seconds until the ids are read again; an unknown one is looked for at once.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        mode: UnregisteredScenarios,
        read: Callable[[], Collection[str]],
        max_age_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._mode, self._read, self._max_age_s, self._clock = mode, read, max_age_s, clock
        self._known: frozenset[str] = frozenset()
        self._read_at_s = -float("inf")

    def admit(self, decoded: Decoded) -> tuple[Decoded, list[DeadLetter]]:
        """The entries to fold, events of unregistered scenarios under the pool's name, and those that are rejected."""
        if self._mode == "accept":
            return decoded, []
        unknown = self._unknown({entry.behavior_event.scenario_id for _, entry in decoded if _is_event(entry)})
        if not unknown:
            return decoded, []
        others = [pair for pair in decoded if _is_event(pair[1]) and pair[1].behavior_event.scenario_id in unknown]
        if self._mode == "pool":
            for _, entry in others:
                entry.behavior_event.scenario_id = POOL
            return decoded, []
        rejected = {id(record) for record, _ in others}
        kept = [pair for pair in decoded if id(pair[0]) not in rejected]
        return kept, [DeadLetter(record, _REASON) for record, _ in others]

    def _unknown(self, scenarios: set[str]) -> set[str]:
        """The scenarios that are not registered."""
        now_s = self._clock()
        if now_s - self._read_at_s > self._max_age_s or not scenarios <= self._known:
            self._known, self._read_at_s = frozenset(self._read()), now_s
        return scenarios - self._known


def _is_event(entry: Entry) -> bool:
    return entry.HasField("behavior_event")
