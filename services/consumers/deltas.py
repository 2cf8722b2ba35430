"""Activity deltas as records of the activity topic, and back."""

from collections.abc import Sequence

import numpy as np

from crossrec.events.v1.activity_pb2 import ActivityDelta, ScenarioCounts
from services.consumers.log import Output
from services.events.codec import BadRecord
from services.features.activity import Deltas, deltas_by
from services.features.behavior import Events
from services.features.schema import Schema

SUFFIX = "activity"


def activity_outputs(schema: Schema, prefix: str, events: Events) -> list[Output]:
    """What the events add to items and scenarios: one record per item and one per scenario of the batch."""
    if not len(events):
        return []
    fingerprint = unsigned(schema.fingerprint)
    items = _messages(deltas_by(schema, events, "item"), "item_id", fingerprint)
    scenarios = _messages(deltas_by(schema, events, "scenario"), "scenario_id", fingerprint)
    pairs = deltas_by(schema, events, "item", "scenario")
    for (item, scenario), time_s, counts in zip(pairs.group, pairs.time_s, pairs.counts, strict=True):
        part = ScenarioCounts(scenario_id=scenario, time_s=time_s, counts=counts.tolist())
        items[item].scenarios.append(part)
    return [
        Output(f"{prefix}.{SUFFIX}", key.encode(), message.SerializeToString())
        for messages in (items, scenarios)
        for key, message in messages.items()
    ]


def _messages(deltas: Deltas, subject: str, fingerprint: int) -> dict[str, ActivityDelta]:
    messages = {}
    for row in range(len(deltas)):
        (name,) = deltas.group[row]
        message = ActivityDelta(
            time_s=deltas.time_s[row],
            counts=deltas.counts[row].tolist(),
            last_value_time_s=deltas.last_value_s[row],
            schema_fingerprint=fingerprint,
        )
        setattr(message, subject, name)
        if deltas.last_value_s[row] > 0 and subject == "item_id":
            message.last_value = deltas.last_value[row]
        if subject == "scenario_id":
            message.hours.extend(deltas.hours[row].tolist())
        messages[name] = message
    return messages


def parse_delta(schema: Schema, value: bytes | None) -> ActivityDelta:
    """A record of the activity topic; BadRecord if it is none or is laid out for another schema."""
    message = ActivityDelta()
    try:
        message.ParseFromString(value or b"")
    except Exception as error:
        raise BadRecord(f"not an ActivityDelta: {error}") from error
    subject = message.WhichOneof("subject")
    if subject is None:
        raise BadRecord("subject: neither item_id nor scenario_id is set")
    if message.schema_fingerprint != unsigned(schema.fingerprint):
        raise BadRecord(f"schema_fingerprint: {message.schema_fingerprint}, this consumer has another feature schema")
    _check_counts("counts", message.counts, schema.count_length)
    for number, part in enumerate(message.scenarios):
        _check_counts(f"scenarios[{number}].counts", part.counts, schema.count_length)
    _check_counts("hours", message.hours, 24 if subject == "scenario_id" else 0)
    times = [message.time_s, message.last_value, message.last_value_time_s, *(p.time_s for p in message.scenarios)]
    if not np.isfinite(times).all():
        raise BadRecord("time_s, last_value or last_value_time_s: not finite")
    return message


def deltas_of(
    schema: Schema, groups: Sequence[tuple[str, ...]], parts: Sequence[ActivityDelta | ScenarioCounts]
) -> Deltas:
    """Messages side by side, one group each."""
    wide = len(groups[0]) if groups else 1
    return Deltas(
        group=np.array(groups, object).reshape(len(parts), wide),
        time_s=np.array([part.time_s for part in parts], np.float64),
        counts=np.array([part.counts[:] for part in parts], np.float64).reshape(len(parts), schema.count_length),
        hours=np.array([_hours(part) for part in parts], np.float64).reshape(len(parts), 24),
        last_value=np.array([_last_value(part)[0] for part in parts], np.float64),
        last_value_s=np.array([_last_value(part)[1] for part in parts], np.float64),
    )


def _hours(part: ActivityDelta | ScenarioCounts) -> list[float]:
    return list(part.hours) if isinstance(part, ActivityDelta) and part.hours else [0.0] * 24


def _last_value(part: ActivityDelta | ScenarioCounts) -> tuple[float, float]:
    if isinstance(part, ActivityDelta) and part.HasField("last_value"):
        return part.last_value, part.last_value_time_s
    return -1.0, 0.0


def _check_counts(field: str, counts: Sequence[float], length: int) -> None:
    if len(counts) != length:
        raise BadRecord(f"{field}: {len(counts)} numbers, the feature schema has {length}")
    if not np.isfinite(counts).all():
        raise BadRecord(f"{field}: not finite")


def unsigned(fingerprint: int) -> int:
    """A signed 64-bit fingerprint as protobuf's fixed64 holds it."""
    return fingerprint % 2**64
