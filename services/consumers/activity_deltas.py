"""Activity deltas: from events to records of the activity topic, and from records to arrays that can be folded."""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import chain

import numpy as np
from google.protobuf.message import DecodeError

from crossrec.events.v1.activity_pb2 import ActivityDelta, ActivityDeltas, ScenarioCounts
from services.consumers.decoding import TimeLimits
from services.events.checks import MAX_NUMBER
from services.events.codec import BadRecord
from services.features.activity import DeltaColumns, compute_deltas
from services.features.dedup import EventFlags
from services.features.events import Events
from services.features.ids import find_id_fault
from services.features.rows import Floats
from services.features.schema import Schema
from services.features.times import describe_age, describe_future
from services.kafka.record_source import OutputRecord
from services.kafka.topics import partition_of

MAX_COUNT = 1e9
"""Larger counts are invalid: no batch has so many events."""

MAX_OPINIONS = MAX_COUNT * MAX_NUMBER
"""Larger sums of opinions are invalid: so many events of the largest value."""

RECORD_BYTES = 256 * 1024
"""Deltas of a partition share records up to this size: one record each would cost more than the fold. A quarter of
what Kafka takes by default, so that batches fit topics with other limits, too."""

MAX_RECORD_BYTES = 1024 * 1024
"""Larger records are invalid; earlier versions wrote records up to Kafka's own default."""

_LIST_ITEM_BYTES = 6
"""Most bytes by which a message grows, besides those of a part, when the part is appended to it: tag and length."""

_CACHED_SUBJECTS = 1 << 16
"""Subjects whose partition is cached."""


def activity_deltas(schema: Schema, events: Events, flags: EventFlags) -> list[ActivityDelta]:
    """The events as deltas: one per item, one per facet and one per scenario of the batch."""
    if not len(events):
        return []
    fingerprint = unsigned(schema.fingerprint)
    items = _messages(compute_deltas(schema, events, flags, "item"), "item_id", fingerprint)
    facets = _messages(compute_deltas(schema, events, flags, "facet"), "facet_key", fingerprint)
    scenarios = _messages(compute_deltas(schema, events, flags, "scenario"), "scenario_id", fingerprint)
    pairs = compute_deltas(schema, events, flags, "item", "scenario")
    columns = (pairs.group, pairs.time_s, pairs.counts, pairs.opinions)
    for (item, scenario), time_s, counts, said in zip(*columns, strict=True):
        part = ScenarioCounts(scenario_id=scenario, time_s=time_s, counts=counts.tolist(), opinions=said.tolist())
        items[item].scenarios.append(part)
    return [*items.values(), *facets.values(), *scenarios.values()]


def pack_deltas(topic: str, deltas: Iterable[ActivityDelta], partitions: int) -> list[OutputRecord]:
    """The deltas as records of a topic with so many partitions; a subject always has the same partition."""
    outputs: list[OutputRecord] = []
    open_records: dict[int, ActivityDeltas] = {}
    sizes: Counter[int] = Counter()
    for delta in chain.from_iterable(map(_split, deltas)):
        partition = _partition_of_subject(getattr(delta, delta.WhichOneof("subject")), partitions)
        size = delta.ByteSize() + _LIST_ITEM_BYTES
        if partition in open_records and sizes[partition] + size > RECORD_BYTES:
            outputs.append(_output(topic, partition, open_records.pop(partition)))
            del sizes[partition]
        open_records.setdefault(partition, ActivityDeltas()).deltas.append(delta)
        sizes[partition] += size
    return [*outputs, *(_output(topic, partition, record) for partition, record in open_records.items())]


def _split(delta: ActivityDelta) -> Iterator[ActivityDelta]:
    """The delta, or parts of it that fit a record and add up to it: later ones hold counts per scenario alone.

    A subject's parts have the same partition, in this order. A row is written at the position of its own part, so that
    after a crash no part is skipped or added twice.
    """
    if delta.ByteSize() + _LIST_ITEM_BYTES <= RECORD_BYTES:
        yield delta
        return
    scenarios = list(delta.scenarios)
    del delta.scenarios[:]
    part, size = delta, delta.ByteSize()
    for scenario in scenarios:
        added = scenario.ByteSize() + _LIST_ITEM_BYTES
        if size + added + _LIST_ITEM_BYTES > RECORD_BYTES:
            yield part
            part = _zeros_like(delta)
            size = part.ByteSize()
        part.scenarios.append(scenario)
        size += added
    yield part


def _zeros_like(delta: ActivityDelta) -> ActivityDelta:
    """A delta of the same item that adds nothing."""
    return ActivityDelta(
        item_id=delta.item_id,
        time_s=delta.time_s,
        counts=[0.0] * len(delta.counts),
        returning=[0.0] * len(delta.returning),
        paid=[0.0] * len(delta.paid),
        opinions=[0.0] * len(delta.opinions),
        schema_fingerprint=delta.schema_fingerprint,
    )


@lru_cache(_CACHED_SUBJECTS)
def _partition_of_subject(subject: str, partitions: int) -> int:
    """The partition of a subject's deltas: that of a record with the subject as its key.

    It must not change: the subject's rows hold offsets of this partition, and deltas are skipped by offset.
    """
    return partition_of(subject.encode(), range(partitions))


def _output(topic: str, partition: int, record: ActivityDeltas) -> OutputRecord:
    return OutputRecord(topic, None, record.SerializeToString(), partition=partition)


def _messages(deltas: DeltaColumns, subject: str, fingerprint: int) -> dict[str, ActivityDelta]:
    messages = {}
    for row in range(len(deltas)):
        (name,) = deltas.group[row]
        message = ActivityDelta(
            time_s=deltas.time_s[row],
            counts=deltas.counts[row].tolist(),
            opinions=deltas.opinions[row].tolist(),
            last_value_time_s=deltas.last_value_s[row],
            schema_fingerprint=fingerprint,
        )
        setattr(message, subject, name)
        if deltas.last_value_s[row] > 0 and subject == "item_id":
            message.last_value = deltas.last_value[row]
        if subject == "scenario_id":
            message.hours.extend(deltas.hours[row].tolist())
        else:
            message.returning.extend(deltas.repeat_engagement[row].tolist())
            message.paid.extend(deltas.paid[row].tolist())
            message.holders = deltas.unique_users[row]
        messages[name] = message
    return messages


def parse_deltas(
    schema: Schema,
    value: bytes | None,
    times: TimeLimits,
    now_s: float,
    knows: Callable[[int], bool] = lambda _: False,
) -> list[ActivityDelta]:
    """The deltas of a record of the activity topic; BadRecord if there are none, or one of them cannot be folded.

    Args:
        schema: the feature schema.
        value: the record's value.
        times: accepted times of deltas.
        now_s: the time of the record, by which they are judged, seconds since 1970.
        knows: whether deltas of another schema, given by its fingerprint, can be added to those of this one.
    """
    if value and len(value) > MAX_RECORD_BYTES:
        raise BadRecord(f"the value is {len(value)} bytes long, at most {MAX_RECORD_BYTES}")
    try:
        deltas = list(ActivityDeltas.FromString(value or b"").deltas)
    except DecodeError as error:
        raise BadRecord(f"not ActivityDeltas: {error}") from error
    if not deltas:
        raise BadRecord("deltas: has none")
    for delta in deltas:
        _check(schema, delta, knows)
        _check_times(delta, times, now_s)
    return deltas


def _check_id(field: str, text: str) -> None:
    if fault := find_id_fault(text):
        raise BadRecord(f"{field}: {fault}")


def _check_times(message: ActivityDelta, times: TimeLimits, now_s: float) -> None:
    """A time of the year 9999 would stay in a row forever, and decay all that is added to it later to nothing."""
    found = [("time_s", message.time_s), ("last_value_time_s", message.last_value_time_s)]
    found += [(f"scenarios[{number}].time_s", part.time_s) for number, part in enumerate(message.scenarios)]
    latest_s = now_s + times.future_tolerance_s
    for field, time_s in found:
        if not 0 <= time_s < math.inf:
            raise BadRecord(f"{field}: not a time")
        if time_s > latest_s:
            raise BadRecord(f"{field}: {describe_future(time_s, time_s - latest_s)}")
        if now_s - time_s > times.max_age_s and (time_s or field != "last_value_time_s"):  # 0: no price was paid
            raise BadRecord(f"{field}: {describe_age(now_s - time_s, times.max_age_s)}")


def _check(schema: Schema, message: ActivityDelta, knows: Callable[[int], bool]) -> None:
    subject = message.WhichOneof("subject")
    if subject is None or not getattr(message, subject):
        raise BadRecord("subject: none of item_id, facet_key and scenario_id is set")
    _check_id(subject, getattr(message, subject))
    fingerprint = signed(message.schema_fingerprint)
    if fingerprint != schema.fingerprint:
        if not knows(fingerprint):
            raise BadRecord(f"schema_fingerprint: {fingerprint}, a feature schema that the store does not list")
        _append_missing_types(schema, message)
    _check_numbers("counts", message.counts, schema.count_length)
    _check_numbers("hours", message.hours, 24 if subject == "scenario_id" else 0)
    _check_numbers("returning", message.returning, 0 if subject == "scenario_id" else len(schema.config.half_lives_s))
    _check_numbers("paid", message.paid, 0 if subject == "scenario_id" else 2)
    _check_numbers("holders", [message.holders], 1)
    if not math.isfinite(message.last_value):
        raise BadRecord("last_value: not finite")
    _check_opinions("opinions", message.opinions, schema.config.opinion_width)
    for number, part in enumerate(message.scenarios):
        if subject != "item_id" or not part.scenario_id:
            raise BadRecord(f"scenarios[{number}]: has no scenario_id, or is not part of an item's delta")
        _check_id(f"scenarios[{number}].scenario_id", part.scenario_id)
        _check_numbers(f"scenarios[{number}].counts", part.counts, schema.count_length)
        _check_opinions(f"scenarios[{number}].opinions", part.opinions, schema.config.opinion_width)


def _append_missing_types(schema: Schema, message: ActivityDelta) -> None:
    """Extend a delta of an older schema by zeros for event types and types of opinions appended since, in place."""
    for counts in (message.counts, *(part.counts for part in message.scenarios)):
        missing = schema.count_length - len(counts)
        if counts and missing > 0 and missing % len(schema.config.half_lives_s) == 0:
            counts.extend([0.0] * missing)
    for said in (message.opinions, *(part.opinions for part in message.scenarios)):
        said.extend([0.0] * (schema.config.opinion_width - len(said)))


def stack_deltas(
    schema: Schema, groups: Sequence[tuple[str, ...]], parts: Sequence[ActivityDelta | ScenarioCounts]
) -> DeltaColumns:
    """Messages as arrays, one row per message. Parts per scenario have counts and time only."""
    width = len(groups[0]) if groups else 1
    whole = [part if isinstance(part, ActivityDelta) else ActivityDelta() for part in parts]
    priced = [part.HasField("last_value") for part in whole]
    return DeltaColumns(
        group=np.array(groups, object).reshape(len(parts), width),
        time_s=np.array([part.time_s for part in parts], np.float64),
        counts=_columns([part.counts[:] for part in parts], schema.count_length),
        hours=_columns([part.hours[:] for part in whole], 24),
        last_value=np.array([p.last_value if known else -1.0 for p, known in zip(whole, priced, strict=True)]),
        last_value_s=np.array([p.last_value_time_s if known else 0.0 for p, known in zip(whole, priced, strict=True)]),
        repeat_engagement=_columns([part.returning[:] for part in whole], len(schema.config.half_lives_s)),
        unique_users=np.array([part.holders for part in whole], np.float64),
        paid=_columns([part.paid[:] for part in whole], 2),
        opinions=_columns([part.opinions[:] for part in parts], schema.config.opinion_width),
    )


def _columns(rows: Sequence[Sequence[float]], width: int) -> Floats:
    """Rows of `width` numbers; an empty row becomes zeros."""
    return np.array([row or [0.0] * width for row in rows], np.float64).reshape(len(rows), width)


def _check_numbers(field: str, numbers: Sequence[float], length: int) -> None:
    if len(numbers) != length:
        raise BadRecord(f"{field}: {len(numbers)} numbers, the feature schema has {length}")
    if not all(0 <= number <= MAX_COUNT for number in numbers):  # also catches NaN
        raise BadRecord(f"{field}: not finite, or not from 0 to {MAX_COUNT:g}")


def _check_opinions(field: str, numbers: Sequence[float], length: int) -> None:
    """Sums of values may be negative."""
    if len(numbers) != length:
        raise BadRecord(f"{field}: {len(numbers)} numbers, the feature schema has {length}")
    if not all(-MAX_OPINIONS <= number <= MAX_OPINIONS for number in numbers):  # also catches NaN
        raise BadRecord(f"{field}: not finite, or beyond {MAX_OPINIONS:g}")


def unsigned(fingerprint: int) -> int:
    """A signed 64-bit fingerprint as protobuf's fixed64 holds it."""
    return fingerprint % 2**64


def signed(fingerprint: int) -> int:
    """The inverse of `unsigned`."""
    return fingerprint - 2**64 if fingerprint >= 2**63 else fingerprint
