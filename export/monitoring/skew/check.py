"""The whole check: served requests from Kafka, the replay of the data set, and what differs between them."""

from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import pyarrow.compute as pc

from crossrec.ranking.v1 import ranking_pb2 as pb
from crossrec.ranking.v1.served_pb2 import ServedRanking
from export.datasets.erasures import read_erasures
from export.datasets.storage import DatasetReader
from export.monitoring.served_log import ObservedBehaviour, ServedAnswers, read_answers, read_behaviour
from export.monitoring.skew.differences import ColumnDifference, DifferenceStats, ServedTensors, user_columns
from export.monitoring.skew.exclusions import REASONS, EventKey, RequestExclusions, SkewExclusions
from export.monitoring.skew.replayed import items_of, replay_served, sources_of
from export.replay.history import History, load_history
from services.errors import CrossRecError
from services.features.encode import Tensors, tensor_names
from services.features.schema import Schema, build_schema
from services.ranking.served_log.tensors import BadTensor, unpacked
from services.server.security.pseudonyms import open_pseudonymizer
from services.settings.load import Settings
from services.text.encoder import open_encoder

NOT_COMPARABLE = {
    pb.DEGRADATION_REASON_STORE_UNAVAILABLE,
    pb.DEGRADATION_REASON_STALE_USER,
    pb.DEGRADATION_REASON_POPULARITY,
}
"""Degraded reasons by which the features were not those of the moment."""


class NoComparableRequests(CrossRecError):
    """No served request can be compared."""


@dataclass(frozen=True)
class TimeWindow:
    """Which requests: those that Kafka got from `from_s` until before `until_s`, seconds since 1970."""

    from_s: float = 0.0
    until_s: float = float("inf")


@dataclass(frozen=True)
class SkewReport:
    """What the check found.

    Args:
        requests: how many were read, compared, and left out, by why.
        reasons: how many of the compared requests have values that may differ, by why.
        values: values compared under equal conditions.
        skew: what differs under equal conditions.
        explained_values: values where the two sides could not know the same.
        explained: what differs there.
    """

    requests: dict[str, int]
    reasons: dict[str, int]
    values: int
    skew: list[ColumnDifference]
    explained_values: int
    explained: list[ColumnDifference]

    def figures(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)


class SkewAccumulator:
    """Sorts every value of every request into those that must agree and those that need not.

    Args:
        schema: the feature schema.
        judge: says what speaks against a request.
        tolerance: see DifferenceStats.
    """

    def __init__(self, schema: Schema, judge: SkewExclusions, tolerance: float) -> None:
        self._names, self._judge = tensor_names(schema), judge
        self.skew, self.explained = (DifferenceStats(self._names, tolerance) for _ in range(2))
        self.compared, self.unreadable, self.reasons = 0, 0, Counter[str]()

    def add(self, record: ServedRanking, replayed: Tensors) -> None:
        """Compare one request."""
        try:
            served = unpacked(record.features.tensors)
            shapes = {name: served[name].shape == getattr(replayed, name).shape for name in self._names}
        except (BadTensor, KeyError):
            shapes = {"": False}
        if not all(shapes.values()):
            self.unreadable += 1
            return
        found = self._judge.circumstances(record)
        self.compared += 1
        self.reasons.update(found.user | found.shared)
        where = ServedTensors(record.answer_id, sources_of(record), items_of(record))
        for name, values in served.items():
            self._add(name, values, getattr(replayed, name), found, where)

    def _add(self, name: str, served: Any, replayed: Any, found: RequestExclusions, where: ServedTensors) -> None:
        mine = user_columns(name, self._names[name])
        for columns, excused in ((mine, bool(found.user)), (~mine, bool(found.user | found.shared))):
            (self.explained if excused else self.skew).add(name, served, replayed, columns, where)


def check_skew(
    settings: Settings,
    reader: DatasetReader,
    window: TimeWindow,
    settle_s: float,
    tolerance: float,
) -> SkewReport:
    """Compare what was served with what the replay of a data set makes of it; see SkewExclusions and DifferenceStats.

    Raises NoComparableRequests, KafkaUnavailable.
    """
    schema, encoder = build_schema(settings.features), open_encoder(settings.encoder_dir, 2)
    behaviour, name_of = read_behaviour(settings, 0.0), open_pseudonymizer(settings.privacy).pseudonymize
    answers = read_answers(settings, window.from_s, window.until_s, _erasures(reader, behaviour, name_of))
    records, counts = select_comparable(answers, schema, encoder.fingerprint)
    if not records:
        left = ", ".join(f"{name} {count}" for name, count in counts.items())
        raise NoComparableRequests(f"no served request can be compared ({left}): is served_log.share above 0?")
    judge = SkewExclusions(behaviour.events, _keys(reader, behaviour, name_of), settings.kafka.topic_epoch, settle_s)
    comparing = SkewAccumulator(schema, judge, tolerance)
    history = pseudonymize_users(load_history(reader, schema.config), name_of)
    replay_served(history, schema, encoder, records, comparing.add)
    return SkewReport(
        {**counts, "compared": comparing.compared, "unreadable": counts["unreadable"] + comparing.unreadable},
        {reason: comparing.reasons[reason] for reason in REASONS},
        comparing.skew.values,
        list(comparing.skew.found()),
        comparing.explained.values,
        list(comparing.explained.found()),
    )


def select_comparable(
    answers: ServedAnswers, schema: Schema, encoder: int
) -> tuple[list[ServedRanking], dict[str, int]]:
    """The answers that can be compared, and how many there were of each kind."""
    counts = {"read": len(answers.records), "erased users": answers.erased, "unreadable": answers.unreadable}
    counts |= dict.fromkeys(("without features", "another schema", "another encoder", "degraded"), 0)
    kept = []
    for record in answers.records:
        kind = _kind(record, schema, encoder)
        if kind:
            counts[kind] += 1
        else:
            kept.append(record)
    return kept, counts


def _kind(record: ServedRanking, schema: Schema, encoder: int) -> str:
    features = record.features
    if not features.items:
        return "without features"
    if features.schema_fingerprint != schema.fingerprint:
        return "another schema"
    if features.encoder_fingerprint != encoder:
        return "another encoder"
    return "degraded" if {line.reason for line in record.answer.degraded} & NOT_COMPARABLE else ""


def pseudonymize_users(history: History, name_of: Callable[[str], str]) -> History:
    """The history with its users called as Kafka and the store call them."""
    users, place = np.unique(history.behavior.user, return_inverse=True)
    names = np.array([name_of(user) for user in users.tolist()], object)
    return replace(history, behavior=replace(history.behavior, user=names[place]))


def _keys(reader: DatasetReader, behaviour: ObservedBehaviour, name_of: Callable[[str], str]) -> set[EventKey]:
    """The data set's events from the time of the first one in Kafka on."""
    if not behaviour.events:
        return set()
    first_ms = int(min(event.time_s for event in behaviour.events) * 1000)
    columns = ("user_id", "scenario_id", "item_id", "type", "time")
    keys = set[EventKey]()
    for batch in reader.batches("events", columns):
        times_ms = pc.cast(batch["time"], "int64")
        late = batch.filter(pc.greater_equal(times_ms, first_ms))
        users, *others = [pc.fill_null(late[name], "").to_pylist() for name in columns[:-1]]
        keys.update(zip(map(name_of, users), *others, pc.cast(late["time"], "int64").to_pylist(), strict=True))
    return keys


def _erasures(reader: DatasetReader, behaviour: ObservedBehaviour, name_of: Callable[[str], str]) -> dict[str, float]:
    """When users were erased, by Kafka or by the data set, seconds since 1970."""
    erased_s = dict(behaviour.erased_s)
    for row in read_erasures(reader.path).to_pylist():
        user = name_of(row["user_id"])
        erased_s[user] = max(row["time"].timestamp(), erased_s.get(user, 0.0))
    return erased_s
