"""The expected rows: a replay of the same records by one process in memory, and a comparison of every row."""

import random
import threading
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import redis

from crossrec.events.v1.activity_pb2 import ActivityDeltas
from services.consumers.loop import ConsumerLoop
from services.consumers.main import build_handler
from services.features.rows import Row
from services.kafka.record_source import MemoryRecordSource, OutputRecord, Record
from services.settings.load import Settings
from services.store.memory import MemoryRowStore
from services.store.protocol import Key, RowStore, read_rows
from services.text.protocol import HashingEncoder
from tests.chaos.system import PREFIX, SCHEMA

USER_VIEWS = ("user", "user_scenario", "erased_user")
ACTIVITY_VIEWS = ("item_activity", "item_scenario_activity", "facet_activity", "scenario_activity")
EVENT_ID_FEATURES = ("event_ids", "event_seqs", "event_engaged_before")
"""Features of a user's row about its newest events."""

TOLERANCE = 1e-9
BATCHES = {"behavior": 1000, "activity": 50}
"""Records per batch of the replay; an activity record holds all deltas of a batch for a partition."""

DEAD_LETTERS = f"{PREFIX}.dead-letter"


@dataclass(frozen=True)
class Difference:
    """A row or feature that differs from the expected one."""

    view: str
    key: Key
    feature: str
    expected: object
    actual: object

    def __str__(self) -> str:
        return f"{self.view} {self.key} {self.feature}: expected {self.expected}, is {self.actual}"


def replay(settings: Settings, records: Sequence[Record], store: MemoryRowStore) -> list[OutputRecord]:
    """Fold behaviour records, and the resulting activity, into `store`; returns the dead letters."""
    outputs = _fold("behavior", settings, records, store)
    deltas = [output for output in outputs if output.topic != DEAD_LETTERS]
    log = [Record(o.topic, 0, offset, o.key, o.value, list(o.headers)) for offset, o in enumerate(deltas)]
    _fold("activity", settings, log, store)
    return [output for output in outputs if output.topic == DEAD_LETTERS]


def _fold(kind: str, settings: Settings, records: Sequence[Record], store: RowStore) -> list[OutputRecord]:
    log = MemoryRecordSource(records, BATCHES[kind])
    handler = build_handler(kind, settings, SCHEMA, store, HashingEncoder)
    loop = ConsumerLoop(log, handler, DEAD_LETTERS, threading.Event(), random.Random(0))
    while log.committed < len(log.records):
        loop.step()
    return log.outputs


def newest_positions(epoch: int, records: Iterable[Record]) -> dict[str, dict[Key, tuple[int, int, int]]]:
    """Per activity view and key, the position of the newest record of the activity topic that concerns the row."""
    newest: dict[str, dict[Key, tuple[int, int, int]]] = {view: {} for view in ACTIVITY_VIEWS}
    for record in records:
        position = (epoch, record.partition, record.offset)
        for delta in ActivityDeltas.FromString(record.value or b"").deltas:
            match delta.WhichOneof("subject"):
                case "item_id":
                    newest["item_activity"][(delta.item_id,)] = position
                    pairs = ((delta.item_id, part.scenario_id) for part in delta.scenarios)
                    newest["item_scenario_activity"].update((pair, position) for pair in pairs)
                case "facet_key":
                    newest["facet_activity"][(delta.facet_key,)] = position
                case _:
                    newest["scenario_activity"][(delta.scenario_id,)] = position
    return newest


def find_differences(
    expected: MemoryRowStore, actual: RowStore, positions: Mapping[str, Mapping[Key, tuple[int, int, int]]]
) -> list[Difference]:
    """All features of all rows that differ from `expected`; `positions` replaces the positions in its views."""
    found = []
    for view in (*USER_VIEWS, *ACTIVITY_VIEWS):
        rows = expected.rows[view]
        if view in positions and set(positions[view]) != set(rows):
            odd = set(positions[view]) ^ set(rows)
            found += [Difference(view, key, "records of the activity topic", key in rows, None) for key in odd]
        for key, row in zip(rows, read_rows(actual, SCHEMA[view], list(rows)), strict=True):
            if row is None:
                found.append(Difference(view, key, "row", "there", "missing"))
                continue
            wanted = dict(rows[key])
            if view in positions and key in positions[view]:
                wanted["position"] = np.array(positions[view][key])
            found += [
                Difference(view, key, name, wanted[name].tolist(), row[name].tolist())
                for name in _differing_features(wanted, row)
            ]
    return found


def _differing_features(expected: Row, actual: Row) -> list[str]:
    return [name for name, value in expected.items() if not _is_equal(name, value, actual[name])]


def _is_equal(name: str, expected: np.ndarray, actual: np.ndarray) -> bool:
    if name in EVENT_ID_FEATURES:
        # The number of older ids depends on the start of the last batch.
        limit = SCHEMA.config.event_ids
        return bool(np.array_equal(expected[-limit:], actual[-limit:]))
    if expected.shape != actual.shape:
        return False
    if expected.dtype.kind != "f":
        return bool(np.array_equal(expected, actual))
    # Parts of the language vector cancel out: the error is relative to the size of the summands.
    scale = float(np.abs(expected).max(initial=0.0)) if name == "language" else 0.0
    return bool(np.allclose(actual, expected, rtol=TOLERANCE, atol=TOLERANCE * scale + 1e-300, equal_nan=True))


def find_unerased(erased_s: Mapping[str, float], actual: RowStore) -> list[Difference]:
    """Erased users whose row holds events from before the last erasure."""
    users = sorted(erased_s)
    rows = zip(users, read_rows(actual, SCHEMA["user"], [(user,) for user in users]), strict=True)
    oldest = {
        user: min([float(row["time_s"]), *row["item_first_s"].tolist(), *row["facet_first_s"].tolist()])
        for user, row in rows
        if row is not None
    }
    return [
        Difference("user", (user,), "oldest event", f"after {erased_s[user]}", time_s)
        for user, time_s in oldest.items()
        if time_s <= erased_s[user]
    ]


def row_counts(addresses: Sequence[str]) -> Counter[str]:
    """Number of rows of each view in the store, with any keys."""
    counts: Counter[str] = Counter()
    for host, port in (address.split(":") for address in addresses):
        with redis.Redis(host, int(port)) as client:
            for key in client.scan_iter(count=1000):
                if client.type(key) == b"hash":
                    counts.update(n.decode()[4:] for n in client.hkeys(key) if n.startswith(b"_ts:"))
    return counts


def compare_dead_letters(
    expected: Sequence[OutputRecord], actual: Sequence[Record], *, once: bool = True
) -> list[Difference]:
    """Dead letters that are missing, unexpected or (`once`) repeated, identified by the position in their headers."""
    wanted = Counter(_origin(dict(dead_letter.headers)) for dead_letter in expected)
    found = Counter(_origin(dict(dead_letter.headers)) for dead_letter in actual)
    return [
        Difference("dead-letter", origin, "dead letters", wanted[origin], found[origin])
        for origin in sorted(set(wanted) | set(found))
        if (wanted[origin] != found[origin] if once else (origin in wanted) != (origin in found))
    ]


def _origin(headers: Mapping[str, bytes | None]) -> Key:
    return tuple((headers.get(name) or b"").decode() for name in ("topic", "partition", "offset"))
