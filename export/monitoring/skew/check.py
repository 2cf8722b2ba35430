"""The skew check: reads served requests from Kafka, replays the data set and compares their features."""

from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import cache, partial
from typing import Any

import numpy as np
import pyarrow.compute as pc

from crossrec.ranking.v1 import ranking_pb2 as pb
from crossrec.ranking.v1.served_pb2 import ServedRanking
from export.datasets.erasures import read_erasures
from export.datasets.storage import DatasetReader
from export.monitoring.served_log import (
    USER_UPDATE,
    ObservedBehaviour,
    ServedAnswers,
    read_answers,
    read_behaviour,
)
from export.monitoring.skew.differences import ColumnDifference, DifferenceStats, ServedTensors, user_columns
from export.monitoring.skew.exclusions import REASONS, EventKey, RequestExclusions, SkewExclusions
from export.monitoring.skew.replay_requests import items_of, replay_requests, sources_of
from export.replay.history import DatasetHistory, load_history
from export.rows.requests import Strings
from services.errors import CrossRecError
from services.features.encode import Tensors, tensor_names
from services.features.schema import Schema, build_schema
from services.ranking.served_log.tensors import InvalidTensor, unpack_tensors
from services.registry.reader import Registry
from services.registry.vectors_file import find_vectors
from services.server.security.pseudonyms import open_pseudonymizer
from services.settings.load import Settings
from services.text.encoder import open_encoder

NOT_COMPARABLE = {
    pb.DEGRADATION_REASON_STORE_UNAVAILABLE,
    pb.DEGRADATION_REASON_STALE_USER,
    pb.DEGRADATION_REASON_POPULARITY,
}
"""Degraded reasons with which the served features were not the current ones."""


class NoComparableRequests(CrossRecError):
    """No served request can be compared."""


@dataclass(frozen=True)
class TimeWindow:
    """Requests with a Kafka timestamp in [from_s, until_s), seconds since 1970."""

    from_s: float = 0.0
    until_s: float = float("inf")


@dataclass(frozen=True)
class SkewReport:
    """Result of the check.

    Args:
        requests: number read, compared and skipped, by reason.
        reasons: number of compared requests with excluded values, by reason.
        values: values compared where server and replay could use the same events.
        skew: columns that differ there.
        excluded_values: values compared where they could not.
        excluded: columns that differ there.
    """

    requests: dict[str, int]
    reasons: dict[str, int]
    values: int
    skew: list[ColumnDifference]
    excluded_values: int
    excluded: list[ColumnDifference]

    def as_dict(self) -> dict[str, Any]:
        """The report as plain values."""
        return asdict(self)


class SkewAccumulator:
    """Compares every value of every request, apart for values that must agree and for excluded ones.

    Args:
        schema: the feature schema.
        exclusions: decides which values of a request are excluded.
        tolerance: see DifferenceStats.
    """

    def __init__(self, schema: Schema, exclusions: SkewExclusions, tolerance: float) -> None:
        self._names, self._exclusions = tensor_names(schema), exclusions
        self.skew, self.excluded = (DifferenceStats(self._names, tolerance) for _ in range(2))
        self.compared, self.unreadable, self.reasons = 0, 0, Counter[str]()

    def add(self, record: ServedRanking, replayed: Tensors) -> None:
        """Compare one request."""
        try:
            served = unpack_tensors(record.features.tensors)
            shapes = {name: served[name].shape == getattr(replayed, name).shape for name in self._names}
        except (InvalidTensor, KeyError):
            shapes = {"": False}
        if not all(shapes.values()):
            self.unreadable += 1
            return
        excluded = self._exclusions.exclude(record)
        self.compared += 1
        self.reasons.update(excluded.user | excluded.shared)
        where = ServedTensors(record.answer_id, sources_of(record), items_of(record))
        for name, values in served.items():
            self._add(name, values, getattr(replayed, name), excluded, where)

    def _add(self, name: str, served: Any, replayed: Any, excluded: RequestExclusions, where: ServedTensors) -> None:
        mine = user_columns(name, self._names[name])
        for columns, reasons in ((mine, excluded.user), (~mine, excluded.user | excluded.shared)):
            (self.excluded if reasons else self.skew).add(name, served, replayed, columns, where)


def check_skew(
    settings: Settings,
    reader: DatasetReader,
    window: TimeWindow,
    settle_s: float,
    tolerance: float,
) -> SkewReport:
    """Compare served features with those of the replay of a data set; see SkewExclusions and DifferenceStats.

    Raises NoComparableRequests, KafkaUnavailable.
    """
    schema, encoder = build_schema(settings.features), open_encoder(settings.encoder_dir, 2)
    behaviour, pseudonymize = read_behaviour(settings, 0.0), open_pseudonymizer(settings.privacy).pseudonymize
    answers = read_answers(settings, window.from_s, window.until_s, _erasures(reader, behaviour, pseudonymize))
    records, counts = select_comparable(answers, schema, encoder.fingerprint)
    if not records:
        left = ", ".join(f"{name} {count}" for name, count in counts.items())
        raise NoComparableRequests(f"no served request can be compared ({left}): is served_log.share above 0?")
    exclusions = SkewExclusions(
        [*behaviour.events, *behaviour.updates],
        _event_keys(reader, behaviour, pseudonymize) | _update_keys(reader, pseudonymize),
        settings.kafka.topic_epoch,
        settle_s,
    )
    accumulator = SkewAccumulator(schema, exclusions, tolerance)
    history = pseudonymize_users(load_history(reader, schema.config), pseudonymize)
    registry = Registry(settings.registry_dir, settings.registry_cache_dir)
    replay_requests(history, schema, encoder, records, accumulator.add, cache(partial(find_vectors, registry)))
    return SkewReport(
        {**counts, "compared": accumulator.compared, "unreadable": counts["unreadable"] + accumulator.unreadable},
        {reason: accumulator.reasons[reason] for reason in REASONS},
        accumulator.skew.values,
        list(accumulator.skew.differing_columns()),
        accumulator.excluded.values,
        list(accumulator.excluded.differing_columns()),
    )


def select_comparable(
    answers: ServedAnswers, schema: Schema, encoder: int
) -> tuple[list[ServedRanking], dict[str, int]]:
    """Select the answers that can be compared, and count the others by reason."""
    counts = {"read": len(answers.records), "erased users": answers.erased, "unreadable": answers.unreadable}
    counts |= dict.fromkeys(("without features", "another schema", "another encoder", "degraded"), 0)
    kept = []
    for record in answers.records:
        reason = _skip_reason(record, schema, encoder)
        if reason:
            counts[reason] += 1
        else:
            kept.append(record)
    return kept, counts


def _skip_reason(record: ServedRanking, schema: Schema, encoder: int) -> str:
    features = record.features
    if not features.items:
        return "without features"
    if features.schema_fingerprint != schema.fingerprint:
        return "another schema"
    if features.encoder_fingerprint != encoder:
        return "another encoder"
    return "degraded" if {line.reason for line in record.answer.degraded} & NOT_COMPARABLE else ""


def pseudonymize_users(history: DatasetHistory, pseudonymize: Callable[[str], str]) -> DatasetHistory:
    """The history with its user ids replaced by the pseudonyms that Kafka and the store use."""

    def renamed(ids: Strings) -> Strings:
        users, place = np.unique(ids.astype(str), return_inverse=True)
        return np.array([pseudonymize(user) for user in users.tolist()], object)[place]

    behavior, users = history.behavior, history.users
    return replace(
        history, behavior=replace(behavior, user=renamed(behavior.user)), users=replace(users, user=renamed(users.user))
    )


def _event_keys(
    reader: DatasetReader, behaviour: ObservedBehaviour, pseudonymize: Callable[[str], str]
) -> set[EventKey]:
    """Keys of the data set's events from the time of the first event in Kafka on."""
    if not behaviour.events:
        return set()
    first_ms = int(min(event.time_s for event in behaviour.events) * 1000)
    columns = ("user_id", "scenario_id", "item_id", "type", "time")
    keys = set[EventKey]()
    for batch in reader.batches("events", columns):
        times_ms = pc.cast(batch["time"], "int64")
        late = batch.filter(pc.greater_equal(times_ms, first_ms))
        users, *others = [pc.fill_null(late[name], "").to_pylist() for name in columns[:-1]]
        keys.update(zip(map(pseudonymize, users), *others, pc.cast(late["time"], "int64").to_pylist(), strict=True))
    return keys


def _update_keys(reader: DatasetReader, pseudonymize: Callable[[str], str]) -> set[EventKey]:
    """Keys of the data set's updates of users' attributes."""
    users = reader.table("users", ("user_id", "time"))
    times_ms = pc.cast(users["time"], "int64").to_pylist()
    return {
        (pseudonymize(user), "", "", USER_UPDATE, time_ms)
        for user, time_ms in zip(users["user_id"].to_pylist(), times_ms, strict=True)
    }


def _erasures(
    reader: DatasetReader, behaviour: ObservedBehaviour, pseudonymize: Callable[[str], str]
) -> dict[str, float]:
    """Erasure times per user, from Kafka and from the data set, seconds since 1970."""
    erased_s = dict(behaviour.erased_s)
    for row in read_erasures(reader.path).to_pylist():
        user = pseudonymize(row["user_id"])
        erased_s[user] = max(row["time"].timestamp(), erased_s.get(user, 0.0))
    return erased_s
