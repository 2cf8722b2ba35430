"""Seeded records from the whole boundary of a topic: every form, size up to 10 MB, header, key and codec.

Most records are those of `mutations`; the rest are large, nested, or dressed in strange keys and headers.
"""

import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any

from google.protobuf.message import Message
from kafka import KafkaProducer

from crossrec.events.v1.activity_pb2 import ActivityDeltas
from crossrec.events.v1.events_pb2 import Entry
from services.events.codec import CONTENT_TYPE, JSON
from services.features.schema import Schema
from tests.integration.mutations import Made, good, stream

CODECS = (None, "gzip", "snappy", "lz4", "zstd")
MAX_BYTES = 10_000_000
PLAIN_BYTES = 800_000
"""Larger records are compressed: Kafka takes no more than a megabyte."""

MAX_PAIRS = 50_000
"""Entries of a map: more would not fit, compressed as badly as they can be."""

ODD_SHARE, LARGE_SHARE = 0.1, 0.004
"""Shares of records in strange dress, and of large ones."""

COMPACTED = {"item", "scenario"}
"""Kinds of consumers whose topics are compacted."""

Dress = Callable[[random.Random, Made], Made]


def boundary(kind: str, count: int, seed: int, schema: Schema) -> Iterator[Made]:
    """`count` records of a kind's topic."""
    chance = random.Random(f"boundary-{seed}-{kind}")
    for number, record in enumerate(stream(kind, count, seed, schema)):
        drawn = chance.random()
        if drawn < LARGE_SHARE:
            name, make = chance.choice(list(LARGE.items()))
            yield replace(make(chance, good(kind, number, schema)), how=name)
        elif drawn < LARGE_SHARE + ODD_SHARE:
            name, dress = chance.choice(list(DRESSES.items()))
            dressed = dress(chance, record)
            # Kafka itself refuses a record without a key on a compacted topic.
            key = b"" if dressed.key is None and kind in COMPACTED else dressed.key
            yield replace(dressed, key=key, how=f"{record.how}, {name}")
        else:
            yield record


def _size(chance: random.Random) -> int:
    """A size up to 10 MB, all magnitudes alike."""
    return round(300_000 * (MAX_BYTES / 300_000) ** chance.random())


def _large_noise(chance: random.Random, _: Message) -> Made:
    return Made(chance.randbytes(1000) * (_size(chance) // 1000), b"key", folds=False)


def _large_json(chance: random.Random, _: Message) -> Made:
    opened, closed = chance.choice([("[", "]"), ('{"itemUpdate":', "}")])
    depth = _size(chance) // (len(opened) + len(closed))
    return Made((opened * depth + closed * depth).encode(), b"key", _JSON_HEADERS, folds=False)


def _large_text(chance: random.Random, message: Message) -> Made:
    """A valid message with one field of megabytes, or thousands of fields."""
    text, pairs = "tea " * (_size(chance) // 4), min(_size(chance) // 20, MAX_PAIRS)
    if not isinstance(message, Entry):
        deltas = [message] * (_size(chance) // message.ByteSize())
        return Made(ActivityDeltas(deltas=deltas).SerializeToString(), b"key", folds=None)
    match message.WhichOneof("entry"):
        case "behavior_event":
            message.behavior_event.text = text
        case "item_update" if chance.random() < 0.5:
            message.item_update.attributes.update({f"a{number}": 1.0 for number in range(pairs)})
        case "item_update":
            message.item_update.categories.extend(["c"] * pairs)
        case _:
            message.scenario_update.description = text
    return Made(message.SerializeToString(), b"key", folds=False)


def _large_unknown_field(chance: random.Random, message: Message) -> Made:
    """A valid message behind groups that no reader knows, nested."""
    depth = _size(chance) // 8
    return Made(b"\xa3\x3f" * depth + b"\xa4\x3f" * depth + message.SerializeToString(), b"key", folds=False)


def _many_headers(chance: random.Random, record: Made) -> Made:
    return replace(record, headers=[*record.headers, *[(f"h{n}", b"v" * 9) for n in range(chance.randint(1, 20_000))]])


def _large_header(chance: random.Random, record: Made) -> Made:
    size = chance.choice([1_000, 100_000, 600_000])
    return replace(record, headers=[*record.headers, chance.choice([("h" * size, b""), ("h", b"v" * size)])])


def _trace_headers(chance: random.Random, record: Made) -> Made:
    values = (b"", b"00-" + b"f" * 32 + b"-" + b"f" * 16 + b"-01", b"\xff" * 200, b"00" * 50_000, chance.randbytes(55))
    return replace(
        record, headers=[*record.headers, *[("traceparent", value) for value in values], ("tracestate", b"=,")]
    )


def _repeated_content_type(_: random.Random, record: Made) -> Made:
    """The last one counts: the record's own."""
    own = record.headers or [(CONTENT_TYPE, b"application/x-protobuf")]
    return replace(record, headers=[(CONTENT_TYPE, JSON.encode()), ("CONTENT-TYPE", b"\xff"), *own])


def _any_key(chance: random.Random, record: Made) -> Made:
    key = chance.choice(
        [None, b"", b"\x00", b"\x1f", b"i1\x1ftv", "é".encode() * 100, b"k" * 300_000, chance.randbytes(9)]
    )
    folds = None if record.value is None else record.folds
    return replace(record, key=b"" if key is None and record.value is None else key, folds=folds)


_JSON_HEADERS: list[tuple[str, bytes]] = [(CONTENT_TYPE, JSON.encode())]

LARGE: dict[str, Callable[[random.Random, Message], Made]] = {
    "large noise": _large_noise,
    "large JSON": _large_json,
    "large field": _large_text,
    "large unknown field": _large_unknown_field,
}
"""Makers of large records."""

DRESSES: dict[str, Dress] = {
    "many headers": _many_headers,
    "large header": _large_header,
    "strange traces": _trace_headers,
    "content type twice": _repeated_content_type,
    "any key": _any_key,
}
"""Changes of key and headers, none of which matters to the value."""


@dataclass
class Senders:
    """Producers, one per codec.

    Args:
        producers: by codec.
        chance: draws the codec of each record.
    """

    producers: dict[str | None, KafkaProducer]
    chance: random.Random

    def send(self, topic: str, record: Made, partition: int = 0) -> tuple[str, Any]:
        """Send a record with a codec drawn at random; returns the codec, and the future of its offset and time."""
        size = len(record.value or b"") + len(record.key or b"") + sum(len(n) + len(v) + 9 for n, v in record.headers)
        codec = self.chance.choice(CODECS if size < PLAIN_BYTES else CODECS[1:])
        sent = self.producers[codec].send(topic, record.value, record.key, record.headers, partition)
        return codec or "none", sent

    def flush(self) -> None:
        """Wait until everything is stored."""
        for producer in self.producers.values():
            producer.flush(timeout=300)


@contextmanager
def open_senders(bootstrap_servers: str, seed: int) -> Iterator[Senders]:
    """Producers for every codec that Kafka knows."""
    with ExitStack() as stack:
        producers = {
            codec: stack.enter_context(
                KafkaProducer(
                    bootstrap_servers=bootstrap_servers,
                    compression_type=codec,
                    acks="all",
                    linger_ms=5,
                    max_request_size=2 * MAX_BYTES,
                )
            )
            for codec in CODECS
        }
        yield Senders(producers, random.Random(f"codecs-{seed}"))
