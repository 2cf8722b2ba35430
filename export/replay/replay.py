"""The replay: folds history into a store in time order and pauses at each request time, so that rows can be read.

A request at time t sees updates of users, items and scenarios up to and including t, and behaviour strictly before t:
events at the time of a request or later must not influence its features.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from export.replay.event_steps import ACTIVITY_GROUPS, fold_event_steps
from export.replay.history import REPLAYED, DatasetHistory
from export.replay.offline_rows import OfflineRecorder
from export.replay.versions import SteppedStore, VersionedRows
from export.rows.requests import CurrentRows, LabelledRequests, Snapshots, Strings
from services.features import activity
from services.features.catalogue import CatalogueState
from services.features.events import Events
from services.features.profile import ProfileUpdates
from services.features.rows import Floats, Ints
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

OnRequests = Callable[[float, LabelledRequests], None]
"""Called with a time and its requests when the store holds the state that the requests may see."""

OnStep = Callable[[LabelledRequests, Snapshots, Ints], None]
"""Called with requests in order of time, what reads the rows that they may see, and the stamp at which each reads."""

STEP_ROWS = 256
"""A step with more events, requests or updates is folded alone: numpy has enough to do."""

GROUP_ROWS = 32_768
"""Events and requests of steps that are folded together, at most."""

GROUP_BYTES = 256 << 20
"""Memory of the versions of rows that a group may take, about; where users have long histories it has fewer rows."""


class Replay:
    """Folds a history into a store, one request time after the other.

    Args:
        history: the data set.
        schema: the feature schema.
        encoder: encodes texts of items, scenarios and events.
        store: the rows are written to it.
        recorder: records the versions of the rows.
    """

    def __init__(
        self,
        history: DatasetHistory,
        schema: Schema,
        encoder: Encoder,
        store: RowStore,
        recorder: OfflineRecorder | None = None,
    ) -> None:
        self._history, self._schema, self._encoder, self._store = history, schema, encoder, store
        self._recorder = recorder
        self._done = dict.fromkeys(("behavior", "items", "item_scenarios", "scenarios", "users", "requests"), 0)
        self._item_times = np.array([state.time_s for _, state in history.items])
        self._scenario_times = np.array([state.time_s for _, state in history.scenarios])
        first: dict[str, float] = {}
        versions = [s.time_s for item, s in history.items if first.setdefault(item, s.time_s) != s.time_s]
        self._version_times = np.array(versions, np.float64)
        self._scenarios: set[str] = set()
        self._known: dict[str, Floats] = {}
        self._group_rows = STEP_ROWS
        self._reached_s, self._newest_offset = -np.inf, -1

    def feed(self, behavior: Events, texts: Strings, requests: LabelledRequests | None = None) -> None:
        """Replace the history's events, all of which must be folded, by the following ones; requests likewise."""
        fed = replace(self._history, behavior=behavior, behavior_text=texts)
        self._history = fed if requests is None else replace(fed, requests=requests)
        self._done |= {"behavior": 0, "requests": 0}

    def cut_times(self, until_s: float) -> Floats:
        """Times up to `until_s` between which events can be folded at once: those of requests and new item versions."""
        requests = self._history.requests.time_s[self._done["requests"] :]
        versions = self._version_times[(self._version_times > self._reached_s) & (self._version_times < until_s)]
        return np.unique(np.concatenate([requests[requests < until_s], versions, [until_s]]))

    def run(self, until_s: float, on_requests: OnRequests) -> None:
        """Fold everything before `until_s` (and updates up to it), calling `on_requests` at every request time."""
        for time_s in self.cut_times(until_s).tolist():
            requests = self._step(time_s)
            if len(requests.time_s):
                on_requests(time_s, requests)

    def run_grouped(self, until_s: float, on_step: OnStep, progress: Callable[[float], None] = lambda _: None) -> None:
        """Fold as `run` does, many steps together where they are small: the same rows, to the bit, in less time."""
        for times in self._groups(self.cut_times(until_s)):
            if len(times) > 1:
                self._step_together(times, on_step)
            else:
                requests = self._step(float(times[0]))
                if len(requests.time_s):
                    on_step(requests, CurrentRows(self._store), np.zeros(len(requests.time_s), np.int64))
                    self._flush()
            progress(float(times[-1]))

    def _groups(self, times: Floats) -> Iterator[Floats]:
        """The cut times in runs that are folded together; a large step is alone."""
        rows, is_alone = np.zeros(len(times), np.int64), np.zeros(len(times), bool)
        for name, own in self._times().items():
            side: Literal["left", "right"] = "left" if name == "behavior" else "right"
            count = np.diff(np.searchsorted(own, times, side), prepend=self._done[name])
            is_alone |= count > STEP_ROWS
            rows += count
        self._scenarios.update(self._history.behavior.scenario)
        if len(self._scenarios) > self._schema.config.user_scenarios:
            is_alone[:] = True  # rows of a user's scenarios beyond the bound are removed, which versions cannot
        ends, alone, begin = np.cumsum(rows), np.append(np.flatnonzero(is_alone), len(times)), 0
        while begin < len(times):
            next_alone = int(alone[np.searchsorted(alone, begin)])
            full = int(np.searchsorted(ends, ends[begin] - rows[begin] + self._group_rows, "right"))
            end = max(min(full, next_alone), begin + 1)
            yield times[begin:end]
            begin = end

    def _times(self) -> dict[str, Floats]:
        return {
            "behavior": self._history.behavior.time_s,
            "items": self._item_times,
            "item_scenarios": self._history.item_scenarios.time_s,
            "scenarios": self._scenario_times,
            "users": self._history.users.time_s,
            "requests": self._history.requests.time_s,
        }

    def _step(self, time_s: float) -> LabelledRequests:
        """Fold up to `time_s`; returns its requests."""
        store = self._recorder or self._store
        # Between two cut times items only appear for the first time; existing ones change at cut times alone.
        self._fold_items(store, time_s, inclusive=False)
        self._fold_behavior(store, time_s)
        self._fold_items(store, time_s, inclusive=True)
        self._fold_scenarios(store, time_s)
        requests = self._requests(time_s, time_s)
        self._reached_s = time_s
        return requests

    def _step_together(self, times: Floats, on_step: OnStep) -> None:
        """Fold several steps: the step that ends at time k has stamp 2k before, and 2k + 1 after updates at its end."""
        rows = VersionedRows(self._schema, self._store)
        self._fold_catalogue(rows, times)
        window = self._advance("behavior", self._history.behavior.time_s, float(times[-1]), inclusive=False)
        offsets = np.append(self._newest_offset, self._history.behavior.position[window, 2])
        events = self._events(window)
        step = np.searchsorted(times, events.time_s, "right")
        updates = self._updates_until(float(times[-1]))
        update_step = np.searchsorted(times, updates.time_s)
        if len(updates):  # positions are those of steps that are folded one by one
            events.position[:, 2] += np.searchsorted(update_step, step)
            newest = offsets[np.searchsorted(step, update_step, "right")]
            updates.position[:, 2] += newest - offsets[-1]
        encoder = self._encoder.fingerprint
        fold_event_steps(self._schema, rows, events, 2 * step, updates, 2 * update_step, encoder)
        requests = self._requests(float(times[0]), float(times[-1]))
        seen = 2 * np.searchsorted(times, requests.time_s) + 1
        if len(seen):
            on_step(requests, rows, seen)
        if self._recorder:
            self._recorder.record(rows, np.unique(seen))
        rows.write(self._store)
        folded = (window.stop - window.start + len(seen)) or 1
        self._group_rows = int(np.clip(GROUP_BYTES * folded // max(rows.nbytes, 1), STEP_ROWS, GROUP_ROWS))
        self._reached_s = float(times[-1])

    def _fold_catalogue(self, rows: VersionedRows, times: Floats) -> None:
        store = SteppedStore(rows, self._store)
        self._encode_catalogue(float(times[-1]))
        catalogue = {name: own for name, own in self._times().items() if name not in ("behavior", "users", "requests")}
        updates = np.concatenate([own[self._done[name] :] for name, own in catalogue.items()])
        steps = np.unique(np.searchsorted(times, updates[updates <= times[-1]]))
        for step, time_s in zip(steps.tolist(), times[steps].tolist(), strict=True):
            store.stamp = 2 * step
            self._fold_items(store, time_s, inclusive=False)
            store.stamp = 2 * step + 1
            self._fold_items(store, time_s, inclusive=True)
            self._fold_scenarios(store, time_s)
        self._known = {}

    def _encode_catalogue(self, until_s: float) -> None:
        """Encode the texts of updates in one batch; one by one, each would cost a run of the model."""
        texts: list[str] = []
        for name, states in (("items", self._history.items), ("scenarios", self._history.scenarios)):
            end = int(np.searchsorted(self._times()[name], until_s, "right"))
            texts += [state.text for _, state in states[self._done[name] : end]]
        self._known = dict(zip(texts, self._encoder.encode(texts), strict=True))

    def _flush(self) -> None:
        if self._recorder:
            self._recorder.flush()

    def _advance(self, name: str, times: Floats, time_s: float, *, inclusive: bool) -> slice:
        start = self._done[name]
        self._done[name] = int(np.searchsorted(times, time_s, "right" if inclusive else "left"))
        return slice(start, self._done[name])

    def _requests(self, from_s: float, to_s: float) -> LabelledRequests:
        """The requests of a span of time, both ends included; earlier ones are left out."""
        requests = self._history.requests
        self._advance("requests", requests.time_s, from_s, inclusive=False)
        return requests.part(self._advance("requests", requests.time_s, to_s, inclusive=True))

    def _events(self, window: slice) -> Events:
        """Events with the vectors of their own texts; positions count the updates of users before them, too."""
        events = self._history.behavior.take(np.arange(window.start, window.stop))
        if len(events):
            self._newest_offset = int(events.position[-1, 2])
        if self._done["users"]:
            events = replace(events, position=events.position + np.array([0, 0, self._done["users"]]))
        texts = self._history.behavior_text[window]
        if texts.astype(bool).any():
            events = replace(events, text_vector=self._encoder.encode(texts.tolist()))
        return events

    def _updates_until(self, time_s: float) -> ProfileUpdates:
        """The updates of users up to and including `time_s`, at positions after those of the events before it."""
        users = self._history.users
        window = self._advance("users", users.time_s, time_s, inclusive=True)
        updates = users.take(window)
        offsets = self._newest_offset + 1 + np.arange(window.start, window.stop)
        position = np.column_stack([np.tile(REPLAYED, (len(updates), 1)), offsets]).astype(np.int64)
        return replace(updates, position=position)

    def _fold_behavior(self, store: RowStore, time_s: float) -> None:
        window = self._advance("behavior", self._history.behavior.time_s, time_s, inclusive=False)
        events = self._events(window)
        updates = self._updates_until(time_s) if len(self._history.users) else None
        if not len(events):
            if updates:
                fold_users(store, self._schema, events, self._encoder.fingerprint, updates)
            return
        events = attach_items(store, self._schema, events, self._encoder.fingerprint)
        flags = fold_users(store, self._schema, events, self._encoder.fingerprint, updates)
        for view, ids in ACTIVITY_GROUPS.items():
            deltas = activity.compute_deltas(self._schema, events, flags, *ids)
            position = np.tile(events.position[-1], (len(deltas), 1))
            fold_activity(store, self._schema, view, deltas, position)

    def _fold_items(self, store: RowStore, time_s: float, *, inclusive: bool) -> None:
        window = self._advance("items", self._item_times, time_s, inclusive=inclusive)
        self._fold_states(store, "item", self._history.items[window], window.start)

    def _fold_scenarios(self, store: RowStore, time_s: float) -> None:
        window = self._advance("scenarios", self._scenario_times, time_s, inclusive=True)
        self._fold_states(store, "scenario", self._history.scenarios[window], window.start)
        scenario_ids = [scenario for scenario, _ in self._history.scenarios[window]]
        if scenario_ids:
            index_scenarios(store, self._schema, scenario_ids, (*REPLAYED, window.stop))
        states = self._history.item_scenarios
        window = self._advance("item_scenarios", states.time_s, time_s, inclusive=True)
        keys: list[Key] = list(zip(states.item[window], states.scenario[window], strict=True))
        position = np.array([(*REPLAYED, offset) for offset in range(window.start, window.stop)], np.int64)
        times, attributes = states.time_s[window], states.attributes[window]
        fold_item_scenarios(store, self._schema, keys, times, attributes, position.reshape(-1, 3))

    def _fold_states(
        self, store: RowStore, view: str, states: Sequence[tuple[str, CatalogueState]], first: int
    ) -> None:
        if not states:
            return
        keys: list[Key] = [(identifier,) for identifier, _ in states]
        texts = [state.text for _, state in states]
        known = [self._known[text] for text in texts if text in self._known]
        vectors = np.array(known) if len(known) == len(texts) else self._encoder.encode(texts)
        positions = [(*REPLAYED, first + number) for number in range(len(states))]
        fold_states(
            store,
            self._schema,
            self._schema[view],
            keys,
            [state for _, state in states],
            positions,
            vectors,
            self._encoder.fingerprint,
        )
