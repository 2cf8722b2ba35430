"""Protobuf's variable-length integers, whole arrays at once.

A varint has seven bits of the number in each byte, lowest first. Its first eight bytes are one 64-bit word, whose
groups of seven bits are compacted, or spread, for all numbers at the same time; the ninth and tenth byte are a second
word.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from services.features.rows import Ints

MAX_BYTES = 10
"""Of a 64-bit number; negative numbers always take that many."""

MORE = 0x80
"""Bit of every byte but the last."""

_WORD = 8
_PLACES = np.arange(MAX_BYTES)
_STEPS = (
    # Bits that stay, bits that move, and by how many: pairs of bytes, pairs of pairs, pairs of fours.
    (0x007F007F007F007F, 0x7F007F007F007F00, 1),
    (0x00003FFF00003FFF, 0x3FFF00003FFF0000, 2),
    (0x000000000FFFFFFF, 0x0FFFFFFF00000000, 4),
)
_STEPS_U64 = [(np.uint64(keep), np.uint64(move), np.uint64(bits)) for keep, move, bits in _STEPS]
_WORD_MASK = np.array([(1 << 8 * min(size, _WORD)) - 1 for size in range(MAX_BYTES + 1)], np.uint64)
"""The bytes of a word that belong to a number, by its number of bytes."""

_REST_MASK = np.array([(1 << 8 * max(size - _WORD, 0)) - 1 for size in range(MAX_BYTES + 1)], np.uint16)
"""The two bytes after the word that belong to a number, by its number of bytes."""

_FLAGS = np.array([[MORE * (place < size - 1) for place in _PLACES] for size in range(MAX_BYTES + 1)], np.uint8)
"""MORE in every byte but the last, by the number of bytes."""

_IN_WORD = np.uint64(7 * _WORD)

Unsigned = NDArray[np.uint64]


def encode_varint(number: int) -> bytes:
    """One number, not negative."""
    result = bytearray()
    while number >= MORE:
        result.append(number & 0x7F | MORE)
        number >>= 7
    result.append(number)
    return bytes(result)


def encode(values: Ints) -> tuple[bytes, Ints]:
    """Signed numbers [N] as consecutive varints, and the number of bytes of each, [N]."""
    unsigned = np.ascontiguousarray(values, np.int64).view(np.uint64)
    size = np.ones(len(values), np.int64)
    for place in _PLACES[1:]:
        size += unsigned >= np.uint64(1 << 7 * int(place))
    data = np.empty((len(values), MAX_BYTES), np.uint8)
    data[:, :_WORD] = _spread_sevens(unsigned).astype("<u8").view(np.uint8).reshape(-1, _WORD)
    rest = unsigned >> _IN_WORD
    data[:, _WORD] = rest & np.uint64(0x7F)
    data[:, _WORD + 1] = rest >> np.uint64(7)
    data |= _FLAGS[size]
    return data[size[:, None] > _PLACES].tobytes(), size


def decode(payloads: Sequence[bytes]) -> tuple[Ints, Ints]:
    """The numbers of all payloads, and how many each has. Raises ValueError for bytes that are not varints."""
    ends = np.fromiter(map(len, payloads), np.int64, len(payloads)).cumsum()
    if not len(ends) or not ends[-1]:
        return np.zeros(0, np.int64), np.zeros(len(payloads), np.int64)
    # Zeros after the last number, so that ten bytes can be taken from every place.
    data = np.frombuffer(b"".join([*payloads, bytes(MAX_BYTES)]), np.uint8)
    last = (data[: ends[-1]] < MORE).nonzero()[0]
    begins = np.zeros(len(last) + 1, np.int64)
    np.add(last, 1, out=begins[1:])
    starts, size = begins[:-1], begins[1:] - begins[:-1]
    # Every payload that is not empty must end where a number ends; an empty one ends where the one before ends.
    upto = np.zeros(len(ends) + 1, np.int64)
    upto[1:] = last.searchsorted(ends)
    if (begins[upto[1:]] != ends).any() or (longest := size.max()) > MAX_BYTES:
        raise ValueError("not a list of varints")
    values = _compact_sevens(_words_at(data, "<u8", starts) & _WORD_MASK[size])
    if longest > _WORD:
        values |= _place_high_bytes(_words_at(data, "<u2", starts + _WORD) & _REST_MASK[size])
    return values.view(np.int64), upto[1:] - upto[:-1]


def _words_at(data: NDArray[np.uint8], word: str, place: Ints) -> NDArray[np.unsignedinteger]:
    """The bytes from each place on as one number: overlapping words."""
    dtype = np.dtype(word)
    words: NDArray[np.unsignedinteger] = np.ndarray((len(data) - dtype.itemsize + 1,), dtype, data, strides=(1,))
    return words[place]


def _place_high_bytes(rest: NDArray[np.unsignedinteger]) -> Unsigned:
    """The ninth and the tenth byte of numbers, as one word, at their bits of the number."""
    high = rest.astype(np.uint64)
    return (high & np.uint64(0x7F) | (high & np.uint64(0x100)) >> np.uint64(1)) << _IN_WORD


def _compact_sevens(word: Unsigned) -> Unsigned:
    for keep, move, bits in _STEPS_U64:
        word = (word & keep) | ((word & move) >> bits)
    return word


def _spread_sevens(number: Unsigned) -> Unsigned:
    word = number & np.uint64((1 << 7 * _WORD) - 1)
    for keep, move, bits in reversed(_STEPS_U64):
        word = (word & keep) | ((word << bits) & move)
    return word
