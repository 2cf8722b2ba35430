"""Malformed and extreme Rank requests, seeded: each number gives the same call again.

A request begins valid; some of its fields are replaced by values at, or just beyond, their limits; then perhaps
its bytes and the properties of the call are mutated. The expected outcome follows from the changes.
"""

import math
import random
import struct
from collections.abc import Callable
from dataclasses import dataclass, field

from google.protobuf.message import DecodeError

from crossrec.ranking.v1.ranking_pb2 import RankRequest
from services.ranking.admission.admission import PRIORITY
from services.ranking.service import MAX_REQUEST_BYTES
from tests.contract.rank_server import ITEMS, NOW_S

DAY_S = 24 * 3600
NAN, INF = float("nan"), float("inf")
CHARACTERS = ["a", "\x00", "\x1f", "\x7f", '"', "\\", "ü", "\u202e", "茶", "\uffff", "😀", "\U0010fffd", "\u200b"]
"""Of every plane and length in UTF-8; control characters, direction marks, nothing at all."""

REFUSED = frozenset("\x00\x1f\x7f\u202e\u200b")
"""Those of them that no id holds."""

FITTING = {size: [character for character in CHARACTERS if len(character.encode()) <= size] for size in (1, 2, 3, 4)}

CLEAN = {size: [character for character in of if character not in REFUSED] for size, of in FITTING.items()}

Change = Callable[[random.Random, RankRequest], str]
"""Changes a field of a request; returns the invalid field, "" if there is none."""


@dataclass
class Strange:
    """A call.

    Args:
        seed: makes it again.
        data: the request's bytes.
        faults: invalid fields, one of which is named; none: the request is valid.
        unsure: whether other fields may be invalid, too: the bytes were mutated.
        metadata: of the call.
        timeout_s: its deadline.
        cancelled: whether the caller cancels immediately.
        odd: whether it may end without an answer, by the properties of the call.
    """

    seed: int
    data: bytes
    faults: set[str]
    unsure: bool = False
    metadata: list[tuple[str, str | bytes]] = field(default_factory=list)
    timeout_s: float = 60.0
    cancelled: bool = False
    odd: bool = False

    @property
    def message(self) -> RankRequest | None:
        """The parsed request; None if it cannot be parsed."""
        try:
            return RankRequest.FromString(self.data)
        except DecodeError:
            return None


def strange(seed: int) -> Strange:
    """The call of a seed."""
    chance = random.Random(seed)
    message = RankRequest(user_id=chance.choice(["ann", "bob", "new"]), item_ids=ITEMS)
    message.scenario_id = chance.choice(["tv", "shelf", ""])
    message.options.explain = chance.random() < 0.5
    chosen = [chance.choice(changes) for changes in CHANGES if chance.random() < 0.25]
    faults = {change(chance, message) for change in chosen} - {""}
    data = message.SerializeToString()
    call = Strange(seed, data, faults)
    if chance.random() < 0.3:
        call = mutate(chance, call)
    if chance.random() < 0.2:
        _around(chance, call)
    return call


def word(chance: random.Random, size: int) -> str:
    """Unusual characters of that many bytes in UTF-8; one word in ten may hold such that no id holds."""
    text, left, fitting = "", size, FITTING if chance.random() < 0.1 else CLEAN
    while left:
        character = chance.choice(fitting[min(left, 4)])
        text, left = text + character, left - len(character.encode())
    return text


def _clean(text: str) -> bool:
    return REFUSED.isdisjoint(text)


def _user(chance: random.Random, message: RankRequest) -> str:
    size = chance.choice([0, 1, 17, 128, 129, 500])
    message.user_id = word(chance, size)
    return "" if 1 <= size <= 128 and _clean(message.user_id) else "user_id"


def _scenario(chance: random.Random, message: RankRequest) -> str:
    size = chance.choice([0, 1, 17, 128, 129, 500])
    message.scenario_id = word(chance, size)
    return "" if size <= 128 and _clean(message.scenario_id) else "scenario_id"


def _items(chance: random.Random, message: RankRequest) -> str:
    count = chance.choice([0, *[1, 2, 3, 5, 8, 13] * 20, 200, 2000, 2001])
    del message.item_ids[:]
    message.item_ids.extend(
        f"{''.join(c for c in word(chance, chance.choice([1, 9, 30])) if chance.random() < 0.01 or _clean(c))} {number}"
        for number in range(count)
    )
    refused = (f"item_ids[{place}]" for place, item in enumerate(message.item_ids) if not _clean(item))
    return next(refused, "") if 1 <= count <= 2000 else "item_ids"


def _item(chance: random.Random, message: RankRequest) -> str:
    place = chance.randrange(len(message.item_ids))
    size = chance.choice([0, 40, 128, 129])
    message.item_ids[place] = word(chance, size)
    return "" if 1 <= size <= 128 and _clean(message.item_ids[place]) else f"item_ids[{place}]"


def _repeated(chance: random.Random, message: RankRequest) -> str:
    message.item_ids.append(chance.choice(message.item_ids))
    return f"item_ids[{len(message.item_ids) - 1}]"


def _top_k(chance: random.Random, message: RankRequest) -> str:
    message.top_k = chance.choice([0, 1, 2, 3, 1999, 2000, 2001, 2**31, 2**32 - 1])
    return "" if message.top_k <= 2000 else "top_k"


def _time(chance: random.Random, message: RankRequest) -> str:
    first, last = 315_532_800, int(NOW_S) + DAY_S
    good = [(first, 0), (first, 999_999_999), (last, 0), (last - 1, 999_999_999), (int(NOW_S), 1)]
    bad = [(first - 1, 999_999_999), (last + 1, 0), (0, 0), (-(2**63), 0), (2**63 - 1, 0), (253_402_300_800, 0)]
    bad += [(int(NOW_S), nanos) for nanos in (-1, 10**9, -(2**31), 2**31 - 1)]
    seconds, nanos = moment = chance.choice([*good, *bad])
    message.request_time.seconds, message.request_time.nanos = seconds, nanos
    return "" if moment in good else "request_time"


def _declared(chance: random.Random, message: RankRequest) -> str:
    value = chance.choice([NAN, INF, -INF, 5e-324, -0.0, 1.7e308, -1.7e308, 1e30, 21.5])
    message.context.attributes["hour"] = value
    return "" if math.isfinite(value) else 'context.attributes["hour"]'


def _undeclared(chance: random.Random, message: RankRequest) -> str:
    for _ in range(chance.choice([1, 1, 100])):
        message.context.attributes[word(chance, chance.choice([0, 1, 129, 500]))] = chance.random()
    return "context.attributes["


def _diversity(chance: random.Random, message: RankRequest) -> str:
    value = chance.choice([0.0, -0.0, 5e-324, 0.5, 1.0, 1.0000000000000002, -5e-324, NAN, INF, -INF])
    message.options.diversity = value
    return "" if 0 <= value <= 1 else "options.diversity"


CHANGES: list[list[Change]] = [
    [_user],
    [_scenario],
    [_items, _items, _item, _repeated],
    [_top_k],
    [_time],
    [_declared, _declared, _undeclared],
    [_diversity],
]
"""At most one of each list, so that no change reverts another."""


def mutate(chance: random.Random, call: Strange) -> Strange:
    """The same call with other bytes; the parser decides what they mean, unless they mean nothing."""
    kind = chance.choice([*SPOILERS] * 20 + [_oversized])
    call.data = kind(chance, call.data)
    if kind is _oversized:
        call.odd = len(call.data) > MAX_REQUEST_BYTES
    elif kind is not _unknown_field:
        call.faults, call.unsure = set(), True
    return call


def _truncated(chance: random.Random, data: bytes) -> bytes:
    return data[: chance.randrange(len(data) + 1)]


def _flipped(chance: random.Random, data: bytes) -> bytes:
    mutated = bytearray(data)
    for _ in range(chance.choice([1, 1, 2, 8])):
        mutated[chance.randrange(len(mutated))] ^= 1 << chance.randrange(8)
    return bytes(mutated)


def _shuffled(chance: random.Random, data: bytes) -> bytes:
    first, last = sorted(chance.sample(range(len(data) + 1), 2))
    return chance.choice([data[:first] + data[last:], data[:last] + data[first:], data[last:] + data[:last]])


def _noise(chance: random.Random, data: bytes) -> bytes:
    del data
    return chance.randbytes(chance.choice([0, 1, 2, 10, 300, 5000]))


def _unknown_field(chance: random.Random, data: bytes) -> bytes:
    """Fields of a possible later version, of every wire type."""
    number = chance.choice([8, 15, 16, 100, 19_000, 2**29 - 1])
    values = [(0, varint(chance.getrandbits(64))), (1, chance.randbytes(8)), (5, chance.randbytes(4))]
    content = chance.randbytes(chance.choice([0, 5, 500]))
    wire, value = chance.choice([*values, (2, varint(len(content)) + content)])
    more = varint(number << 3 | wire) + value
    return more + data if chance.random() < 0.5 else data + more


def _wrong_type(chance: random.Random, data: bytes) -> bytes:
    """A known field with a wrong wire type."""
    wire = chance.randrange(8)
    value = chance.choice([varint(chance.getrandbits(chance.choice([7, 32, 64]))), chance.randbytes(8), b"\x03abc"])
    return data + varint(chance.randrange(0, 8) << 3 | wire) + value


def _huge_varint(chance: random.Random, data: bytes) -> bytes:
    """Numbers of too many bytes, and lengths of gigabytes."""
    size = chance.choice([b"\xff" * 9 + b"\x01", b"\xff" * 11, b"\x80" * 9 + b"\x00", varint(2**31), varint(2**63)])
    return data + varint(chance.choice([1, 3, 4, 6, 9]) << 3 | chance.choice([0, 2])) + size


def _nested(chance: random.Random, data: bytes) -> bytes:
    """Nested groups or messages; perhaps deeper than any parser's limit, perhaps without their ends."""
    depth = chance.choice([1, 50, 99, 101, 5000])
    if chance.random() < 0.5:
        return data + varint(9 << 3 | 3) * depth + varint(9 << 3 | 4) * chance.choice([depth, depth - 1, depth + 1])
    inner = struct.pack("<d", chance.choice([1.0, NAN]))
    for _ in range(min(depth, 300)):
        inner = varint(chance.choice([1, 6]) << 3 | 2) + varint(len(inner)) + inner
    return data + inner


def _oversized(chance: random.Random, data: bytes) -> bytes:
    """As large as a message may be, or larger, by an unknown field."""
    size = MAX_REQUEST_BYTES + chance.choice([-1, 0, 1, 1000])
    head = varint(100 << 3 | 2)
    content = size - len(data) - len(head) - 4
    return data + head + varint(content) + bytes(content)


SPOILERS = (_truncated, _flipped, _shuffled, _noise, _unknown_field, _wrong_type, _huge_varint, _nested)


def varint(value: int) -> bytes:
    """The value in protobuf's variable length."""
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*found, value])


def _around(chance: random.Random, call: Strange) -> None:
    """Properties of the call: priorities, metadata, deadlines, cancellations."""
    match chance.randrange(6):
        case 0:
            call.metadata.append((PRIORITY, chance.choice(["", "INTERACTIVE", "urgent", "x" * 500])))
            call.faults = call.faults | {PRIORITY}
        case 1:
            call.metadata.append((PRIORITY, chance.choice(["batch", "interactive"])))
        case 2:
            call.metadata.append((chance.choice(["x-strange-bin", f"{PRIORITY}-bin"]), chance.randbytes(300)))
        case 3:
            size = chance.choice([*[100, 7000] * 6, 8192, 16_384, 60_000])  # gRPC takes a while to reject those
            call.metadata.append(("x-long", "y" * size))
            call.odd = size > 7000
        case 4:
            call.timeout_s, call.odd = chance.choice([0.0, 1e-6, 0.0005, 0.002, 0.01]), True
        case _:
            call.cancelled = call.odd = True
