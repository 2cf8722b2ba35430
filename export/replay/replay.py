"""The replay: folds history into a store in time order and pauses at each request time, so that rows can be read.

A request at time t sees updates of items and scenarios up to and including t, and behaviour strictly before t: events
at the time of a request or later must not influence its features.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from export.replay.history import REPLAYED, DatasetHistory
from export.rows.requests import LabelledRequests, Strings
from services.features import activity
from services.features.catalogue import CatalogueState
from services.features.events import Events
from services.features.rows import Floats
from services.features.schema import Schema
from services.store.folding import (
    attach_items,
    fold_activity,
    fold_item_scenarios,
    fold_states,
    fold_users,
    index_scenarios,
)
from services.store.protocol import Key, RowStore
from services.text.protocol import Encoder

ACTIVITY_GROUPS = {
    "item_activity": ("item",),
    "facet_activity": ("facet",),
    "item_scenario_activity": ("item", "scenario"),
    "scenario_activity": ("scenario",),
}
"""Activity views and the ids whose events they sum."""


OnRequests = Callable[[float, LabelledRequests], None]
"""Called with a time and its requests when the store holds the state that the requests may see."""


class Replay:
    """Folds a history into a store, one request time after the other.

    Args:
        history: the data set.
        schema: the feature schema.
        encoder: encodes texts of items, scenarios and events.
        store: the rows are written to it.
    """

    def __init__(self, history: DatasetHistory, schema: Schema, encoder: Encoder, store: RowStore) -> None:
        self._history, self._schema, self._encoder, self._store = history, schema, encoder, store
        self._done = dict.fromkeys(("behavior", "items", "item_scenarios", "scenarios", "requests"), 0)
        self._item_times = np.array([state.time_s for _, state in history.items])
        self._scenario_times = np.array([state.time_s for _, state in history.scenarios])
        self._reached_s = -np.inf

    def feed(self, behavior: Events, texts: Strings) -> None:
        """Replace the history's events, all of which must be folded, by the following ones."""
        self._history = replace(self._history, behavior=behavior, behavior_text=texts)
        self._done["behavior"] = 0

    def cut_times(self, until_s: float) -> list[float]:
        """Times up to `until_s` between which events can be folded at once: those of requests and new item versions."""
        first: dict[str, float] = {}
        versions = [s.time_s for item, s in self._history.items if first.setdefault(item, s.time_s) != s.time_s]
        times = np.unique(np.concatenate([self._history.requests.time_s, np.array(versions)]))
        return [*times[(times > self._reached_s) & (times < until_s)].tolist(), until_s]

    def run(self, until_s: float, on_requests: OnRequests, progress: Callable[[float], None] = lambda _: None) -> None:
        """Fold everything before `until_s` (and updates up to it), calling `on_requests` at every request time."""
        for time_s in self.cut_times(until_s):
            # Between two cut times items only appear for the first time; existing ones change at cut times alone.
            self._fold_items(time_s, inclusive=False)
            self._fold_behavior(time_s)
            self._fold_items(time_s, inclusive=True)
            self._fold_scenarios(time_s)
            requests = self._requests_at(time_s)
            if len(requests.time_s):
                on_requests(time_s, requests)
            self._reached_s = time_s
            progress(time_s)

    def _advance(self, name: str, times: Floats, time_s: float, *, inclusive: bool) -> slice:
        start = self._done[name]
        self._done[name] = int(np.searchsorted(times, time_s, "right" if inclusive else "left"))
        return slice(start, self._done[name])

    def _requests_at(self, time_s: float) -> LabelledRequests:
        requests = self._history.requests
        self._advance("requests", requests.time_s, time_s, inclusive=False)
        window = self._advance("requests", requests.time_s, time_s, inclusive=True)
        return requests.part(window)

    def _fold_behavior(self, time_s: float) -> None:
        window = self._advance("behavior", self._history.behavior.time_s, time_s, inclusive=False)
        if window.start == window.stop:
            return
        events = self._history.behavior.take(np.arange(window.start, window.stop))
        texts = self._history.behavior_text[window]
        if texts.astype(bool).any():
            events = replace(events, text_vector=self._encoder.encode(texts.tolist()))
        events = attach_items(self._store, self._schema, events, self._encoder.fingerprint)
        flags = fold_users(self._store, self._schema, events, self._encoder.fingerprint)
        for view, ids in ACTIVITY_GROUPS.items():
            deltas = activity.compute_deltas(self._schema, events, flags, *ids)
            position = np.tile(events.position[-1], (len(deltas), 1))
            fold_activity(self._store, self._schema, view, deltas, position)

    def _fold_items(self, time_s: float, *, inclusive: bool) -> None:
        window = self._advance("items", self._item_times, time_s, inclusive=inclusive)
        self._fold_states("item", self._history.items[window], window.start)

    def _fold_scenarios(self, time_s: float) -> None:
        window = self._advance("scenarios", self._scenario_times, time_s, inclusive=True)
        self._fold_states("scenario", self._history.scenarios[window], window.start)
        scenario_ids = [scenario for scenario, _ in self._history.scenarios[window]]
        if scenario_ids:
            index_scenarios(self._store, self._schema, scenario_ids, (*REPLAYED, window.stop))
        states = self._history.item_scenarios
        window = self._advance("item_scenarios", states.time_s, time_s, inclusive=True)
        keys: list[Key] = list(zip(states.item[window], states.scenario[window], strict=True))
        position = np.array([(*REPLAYED, offset) for offset in range(window.start, window.stop)], np.int64)
        times, attributes = states.time_s[window], states.attributes[window]
        fold_item_scenarios(self._store, self._schema, keys, times, attributes, position.reshape(-1, 3))

    def _fold_states(self, view: str, states: Sequence[tuple[str, CatalogueState]], first: int) -> None:
        if not states:
            return
        keys: list[Key] = [(identifier,) for identifier, _ in states]
        vectors = self._encoder.encode([state.text for _, state in states])
        positions = [(*REPLAYED, first + number) for number in range(len(states))]
        fold_states(
            self._store,
            self._schema,
            self._schema[view],
            keys,
            [state for _, state in states],
            positions,
            vectors,
            self._encoder.fingerprint,
        )
