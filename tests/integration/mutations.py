"""Seeded streams of records of every topic: valid ones and mutated ones."""

import json
import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from google.protobuf import json_format
from google.protobuf.message import Message

from crossrec.events.v1.activity_pb2 import ActivityDelta, ActivityDeltas
from crossrec.events.v1.events_pb2 import Entry
from services.events.codec import CONTENT_TYPE, JSON, encode
from services.features.schema import Schema
from tests.unit.consumers.streams import START_S, behavior_event, item_update, scenario_update

GOOD_SHARE = 0.5


class RawName(str):
    """A header name that kafka-python sends as bytes that are not UTF-8."""

    def __new__(cls, raw: bytes) -> "RawName":
        return super().__new__(cls, raw.decode(errors="backslashreplace"))

    def __init__(self, raw: bytes) -> None:
        self.raw = raw

    def encode(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        del encoding, errors
        return self.raw


@dataclass(frozen=True)
class Made:
    """A record to send.

    Args:
        value: its value.
        key: its key.
        headers: its headers.
        how: the mutation.
        folds: whether it must be folded (True), must become a dead letter (False), or either.
    """

    value: bytes | None
    key: bytes | None
    headers: list[tuple[str, bytes]] = field(default_factory=list)
    how: str = "good"
    folds: bool | None = True


Mutation = Callable[[random.Random, Message, Made], Made]


def good(kind: str, number: int, schema: Schema) -> Message:
    """A valid message."""
    match kind:
        case "behavior":
            return behavior_event(number, user_id=f"u{number % 300}", scenario_id=f"s{number % 3}")
        case "item":
            return item_update(number % 500, START_S + number, attributes={})
        case "scenario":
            return scenario_update(number % 50, START_S + number)
        case _:
            return ActivityDelta(
                item_id=f"i{number % 500}",
                time_s=START_S + number,
                counts=[1.0] * schema.count_length,
                returning=[0.5] * len(schema.config.half_lives_s),
                paid=[0.0] * 2,
                opinions=[0.0] * schema.config.opinion_width,
                schema_fingerprint=schema.fingerprint % 2**64,
            )


def stream(kind: str, count: int, seed: int, schema: Schema) -> list[Made]:
    """`count` records of a kind's topic, about half of them mutated."""
    chance = random.Random(f"{seed}-{kind}")
    made = []
    for number in range(count):
        message = good(kind, number, schema)
        record = _record(message)
        if chance.random() > GOOD_SHARE:
            name, mutate = chance.choice(list(MUTATIONS[kind].items()))
            record = replace(mutate(chance, message, record), how=name)
        made.append(record)
    return made


def _record(message: Message, folds: bool | None = True) -> Made:
    if isinstance(message, Entry):
        value, headers = encode(message)
        return Made(value, b"key", list(headers), folds=folds)
    return Made(ActivityDeltas(deltas=[message]).SerializeToString(), b"key", folds=folds)


def _flipped(chance: random.Random, _: Message, record: Made) -> Made:
    value = bytearray(record.value or b"")
    for _ in range(chance.randint(1, 8)):
        value[chance.randrange(len(value))] ^= 1 << chance.randrange(8)
    return replace(record, value=bytes(value), folds=None)


def _truncated(chance: random.Random, _: Message, record: Made) -> Made:
    value = (record.value or b"")[: chance.randrange(len(record.value or b""))]
    return replace(record, value=value, folds=None)


def _noise(chance: random.Random, _: Message, record: Made) -> Made:
    return replace(record, value=chance.randbytes(chance.randint(1, 300)), folds=None)


def _bare_delta(_: random.Random, message: Message, record: Made) -> Made:
    """A delta outside of an ActivityDeltas."""
    return replace(record, value=message.SerializeToString(), folds=False)


def _raw_header(chance: random.Random, _: Message, record: Made) -> Made:
    return replace(record, headers=[*record.headers, (RawName(b"\xff" + chance.randbytes(4)), b"\xfe"), ("", b"")])


def _unknown_type(chance: random.Random, _: Message, record: Made) -> Made:
    return replace(record, headers=[(CONTENT_TYPE, chance.randbytes(9))], folds=False)


def _deep_json(chance: random.Random, _: Message, record: Made) -> Made:
    depth = chance.choice([99, 101, 2_000, 10_000])
    opened, closed = chance.choice([("[", "]"), ('{"behaviorEvent":', "}")])
    return replace(record, value=(opened * depth + "1" + closed * depth).encode(), headers=_JSON_HEADERS, folds=False)


def _good_json(_: random.Random, message: Message, record: Made) -> Made:
    return replace(record, value=json_format.MessageToJson(message).encode(), headers=_JSON_HEADERS)


def _odd_json(chance: random.Random, message: Message, record: Made) -> Made:
    fields = json_format.MessageToDict(message)
    inner = next(iter(fields.values()))
    inner[chance.choice(sorted(inner))] = chance.choice([[], {}, [[1]], {"a": {"b": 1}}, True])
    return replace(record, value=json.dumps(fields).encode(), headers=_JSON_HEADERS, folds=None)


def _tombstone(_: random.Random, __: Message, record: Made) -> Made:
    return replace(record, value=None, folds=None)


def _changed(*changes: Callable[[random.Random, Message], None]) -> Mutation:
    """One of the changes, each of which makes any message of the kind invalid."""

    def mutate(chance: random.Random, message: Message, _: Made) -> Made:
        chance.choice(changes)(chance, message)
        return _record(message, folds=False)

    return mutate


def _set(path: str, *values: object) -> Callable[[random.Random, Message], None]:
    """Give the field at `path` one of the values."""

    def change(chance: random.Random, message: Message) -> None:
        *parents, name = path.split(".")
        for parent in parents:
            message = getattr(message, parent)
        value = chance.choice(values)
        if isinstance(value, list):
            message.ClearField(name)
            getattr(message, name).extend(value)
        else:
            setattr(message, name, value)

    return change


def _replaced(make: Callable[[], Entry]) -> Callable[[random.Random, Message], None]:
    return lambda _, message: message.CopyFrom(make())


_JSON_HEADERS: list[tuple[str, bytes]] = [(CONTENT_TYPE, JSON.encode())]
_NO_NUMBERS = (math.nan, math.inf, -math.inf)
_HUGE = ("x" * 129, "й" * 5_000, "x" * 30_000)
_SECONDS = (-1, -62_135_596_800, 253_402_300_799, -(2**63), 2**63 - 1)
_EVERYWHERE: dict[str, Mutation] = {
    "bits flipped": _flipped,
    "truncated": _truncated,
    "noise": _noise,
    "header name that is no text": _raw_header,
    "no value": _tombstone,
}
_ENTRIES: dict[str, Mutation] = {
    **_EVERYWHERE,
    "unknown content type": _unknown_type,
    "deep JSON": _deep_json,
    "JSON": _good_json,
    "odd JSON": _odd_json,
}

MUTATIONS: dict[str, dict[str, Mutation]] = {
    "behavior": _ENTRIES
    | {
        "other entry": _changed(_replaced(lambda: item_update(1)), _replaced(lambda: scenario_update(1))),
        "huge text": _changed(_set("behavior_event.user_id", *_HUGE), _set("behavior_event.text", *_HUGE[1:])),
        "no number": _changed(_set("behavior_event.value", *_NO_NUMBERS, 1e300)),
        "no time": _changed(_set("behavior_event.time.seconds", *_SECONDS), _set("behavior_event.time.nanos", -1)),
    },
    "item": _ENTRIES
    | {
        "other entry": _changed(_replaced(lambda: behavior_event(1)), _replaced(lambda: scenario_update(1))),
        "huge text": _changed(_set("item_update.item_id", *_HUGE), _set("item_update.description", _HUGE[2])),
        "no number": _changed(_set("item_update.price", *_NO_NUMBERS, -1.0)),
        "no time": _changed(_set("item_update.time.seconds", *_SECONDS), _set("item_update.time.nanos", 2**31 - 1)),
    },
    "scenario": _ENTRIES
    | {
        "other entry": _changed(_replaced(lambda: behavior_event(1)), _replaced(lambda: item_update(1))),
        "huge text": _changed(_set("scenario_update.scenario_id", *_HUGE), _set("scenario_update.name", _HUGE[2])),
        "no time": _changed(_set("scenario_update.time.seconds", *_SECONDS)),
    },
    "activity": _EVERYWHERE
    | {
        "bare delta": _bare_delta,
        "no number": _changed(_set("counts", [math.nan] * 3, [1e308] * 999), _set("holders", *_NO_NUMBERS)),
        "no time": _changed(_set("time_s", *_NO_NUMBERS, -1.0, 1e18)),
        "other schema": _changed(_set("schema_fingerprint", 0, 7)),
    },
}
"""Mutations of a record, by kind of consumer."""
