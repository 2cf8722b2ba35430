"""Feast's serialised Value messages to columns of rows, many at once, without making the messages.

The way back of `wire`. Values that are not encoded the way protobuf's own encoders do it (another client wrote them)
are parsed by protobuf and encoded anew.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice

import numpy as np
from numpy.typing import NDArray

from services.features.feature import SCALAR, VARIABLE, Feature
from services.features.rows import Block, Floats, Ints, Ragged
from services.features.schema import View
from services.store.redis import varints
from services.store.redis.varints import MORE, encode_varint
from services.store.redis.wire import (
    DOUBLE,
    HEADS,
    ITEM_TAG,
    LIST_TAG,
    SCALAR_TAG,
    encode_default,
    list_head,
    row_ends,
)

Cells = Sequence[bytes | None]
"""Serialised values of one feature, row by row; None or empty: not set."""

Reserialize = Callable[[bytes], bytes]
"""Parses a serialised Value, however it is encoded, and serialises it as protobuf does."""

Decoded = NDArray[np.generic] | Ragged
"""One feature of all rows: [R], [R, length] or ragged."""

_Column = tuple[Feature, Sequence[bytes]]

_MAX_LENGTH_BYTES = 5


class NotCanonical(ValueError):
    """A value is not encoded as protobuf's own encoders do it, or not of the type in the schema."""


@dataclass(frozen=True)
class StoredRows:
    """Rows of a view as they are stored.

    Args:
        view: the view.
        columns: the serialised Values of each of its features, row by row.
        count: the number of rows.
    """

    view: View
    columns: Mapping[str, Cells]
    count: int


def decode_blocks(stored: Sequence[StoredRows], reserialize: Reserialize) -> list[Block]:
    """The rows; values that are not set take their feature's default. Numbers are decoded at once, across blocks.

    Raises NotCanonical for a value of another type or length than in the schema.
    """
    columns = [
        (feature, _fill_defaults(feature, rows.columns[feature.name]))
        for rows in stored
        for feature in rows.view.features
    ]
    decoded = iter(_decode_columns(columns, reserialize))
    return [_collect_block(rows, islice(decoded, len(rows.view.features))) for rows in stored]


def decode_column(feature: Feature, cells: Cells, reserialize: Reserialize) -> Decoded:
    """One feature of all rows: [R], [R, length] or ragged. Raises NotCanonical as `decode_blocks` does."""
    return _decode_columns([(feature, _fill_defaults(feature, cells))], reserialize)[0]


def _collect_block(stored: StoredRows, decoded: Iterable[Decoded]) -> Block:
    fixed: dict[str, NDArray[np.generic]] = {}
    ragged: dict[str, Ragged] = {}
    for feature, column in zip(stored.view.features, decoded, strict=True):
        if isinstance(column, Ragged):
            ragged[feature.name] = column
        else:
            fixed[feature.name] = column
    return Block(stored.view, stored.count, fixed, ragged)


def _fill_defaults(feature: Feature, cells: Cells) -> list[bytes]:
    """The cells, with the feature's default for those that are not set."""
    if all(cells):
        return cells  # type: ignore[return-value]
    unset = encode_default(feature)
    return [cell or unset for cell in cells]


def _decode_columns(columns: Sequence[_Column], reserialize: Reserialize) -> list[Decoded]:
    try:
        return _decode_canonical(columns)
    except NotCanonical:
        return _decode_canonical([(feature, [reserialize(cell) for cell in cells]) for feature, cells in columns])


def _decode_canonical(columns: Sequence[_Column]) -> list[Decoded]:
    """The columns in their order."""
    decoded: dict[int, Decoded] = {}
    for dtype in ("int64", "float64"):
        # Columns of one length first, whose lengths are then compared at once.
        places = sorted(_places(columns, dtype), key=lambda place: columns[place][0].length == VARIABLE)
        if places:
            decoded |= zip(places, _decode_numbers([columns[place] for place in places]), strict=True)
    decoded |= {place: _decode_texts(columns[place]) for place in _places(columns, "string")}
    return [decoded[place] for place in range(len(columns))]


def _places(columns: Sequence[_Column], dtype: str) -> list[int]:
    return [place for place, (feature, _) in enumerate(columns) if feature.dtype == dtype]


def _decode_numbers(columns: Sequence[_Column]) -> list[Decoded]:
    """Columns of one type of numbers, those of one length first."""
    payloads = _payloads_of(columns)
    values, lengths = _unpack_integers(payloads) if columns[0][0].dtype == "int64" else _unpack_doubles(payloads)
    _check_lengths(columns, lengths)
    decoded: list[Decoded] = []
    ends, at = row_ends(lengths), 0
    for feature, cells in columns:
        end = at + len(cells)
        decoded.append(_shape_column(feature, values[ends[at] : ends[end]], lengths[at:end]))
        at = end
    return decoded


def _payloads_of(columns: Sequence[_Column]) -> list[bytes]:
    """What follows the head of each cell, column by column: packed numbers, or the tagged strings of a list.

    Raises NotCanonical for a head of another type, or not in its shortest form. There are no calls per cell.
    """
    whole: list[bytes] = []
    heads: list[bytes] = []
    for feature, cells in columns:
        whole += cells
        if feature.length == SCALAR:
            heads += [SCALAR_TAG[feature.dtype]] * len(cells)
        else:
            heads += map(_LIST_HEADS[feature.dtype].__getitem__, map(len, cells))
    if not all(map(bytes.startswith, whole, heads)):
        names = ", ".join(feature.name for feature, _ in columns)
        raise NotCanonical(f"{names}: a value is not of the type in the schema, or not in its shortest form")
    return list(map(bytes.removeprefix, whole, heads))


def _check_lengths(columns: Sequence[_Column], lengths: Ints) -> None:
    """Raise NotCanonical unless all rows of the columns of one length, which come first, are that long."""
    fixed = [(feature, len(cells)) for feature, cells in columns if feature.length != VARIABLE]
    expected: list[int] = []
    for feature, rows in fixed:
        expected += [1 if feature.length == SCALAR else feature.length] * rows
    wrong = lengths[: len(expected)] != expected
    if wrong.any():
        names = ", ".join(feature.name for feature, _ in fixed)
        raise NotCanonical(f"a value of {names} is not as long as in the schema")


def _shape_column(feature: Feature, values: NDArray[np.generic], lengths: Ints) -> Decoded:
    """Values of all rows, whose lengths are right, as a column."""
    if feature.length == VARIABLE:
        return Ragged(values, lengths)
    return values if feature.length == SCALAR else values.reshape(len(lengths), feature.length)


def _decode_texts(column: _Column) -> Decoded:
    feature, cells = column
    if feature.length == SCALAR:
        texts = [_decode_strings(SCALAR_TAG["string"], cell) for cell in cells]
    else:
        texts = [_decode_strings(ITEM_TAG, payload) for payload in _payloads_of([column])]
    lengths = np.array([len(row) for row in texts], np.int64)
    _check_lengths([column], lengths)
    values: NDArray[np.generic] = np.array([*chain.from_iterable(texts)], object)
    return _shape_column(feature, values, lengths)


def _unpack_integers(payloads: Sequence[bytes]) -> tuple[Ints, Ints]:
    """The numbers of all payloads, and how many each has."""
    try:
        return varints.decode(payloads)
    except ValueError as error:
        raise NotCanonical(str(error)) from error


def _unpack_doubles(payloads: Sequence[bytes]) -> tuple[Floats, Ints]:
    """The numbers of all payloads, and how many each has."""
    sizes = np.fromiter(map(len, payloads), np.int64, len(payloads))
    lengths = sizes // DOUBLE.itemsize
    if (lengths * DOUBLE.itemsize != sizes).any():
        raise NotCanonical("not a list of doubles")
    # From a bytearray, so that the array is writeable.
    return np.frombuffer(bytearray().join(payloads), DOUBLE).astype(np.float64, copy=False), lengths


class _ListHeads(dict[int, bytes]):
    """What precedes the payload of a list in a serialised Value, by the size of the Value; known ones need no call."""

    def __init__(self, tag: bytes) -> None:
        super().__init__()
        self._tag = tag

    def __missing__(self, size: int) -> bytes:
        head = _find_list_head(self._tag, size)
        if len(self) < HEADS:
            self[size] = head
        return head


def _find_list_head(tag: bytes, size: int) -> bytes:
    """What precedes the payload of a list in a serialised Value of `size` bytes."""
    packed = tag != LIST_TAG["string"]
    for head_bytes in range(2, 2 * (1 + _MAX_LENGTH_BYTES) + 1):
        payload = size - head_bytes
        if payload < 0:
            break
        head = list_head(tag, payload) if packed else tag + encode_varint(payload)
        if len(head) == head_bytes:
            return head
    raise NotCanonical(f"no list is {size} bytes long")


_LIST_HEADS = {dtype: _ListHeads(tag) for dtype, tag in LIST_TAG.items()}


def _decode_strings(tag: bytes, data: bytes) -> list[str]:
    """Consecutive strings, each after `tag` and its length."""
    texts, place = [], 0
    while place < len(data):
        if data[place : place + 1] != tag:
            raise NotCanonical("not a list of strings")
        size, place = _decode_varint(data, place + 1)
        texts.append(data[place : place + size].decode())
        place += size
    return texts


def _decode_varint(data: bytes, place: int) -> tuple[int, int]:
    """The varint at `place`, and the place after it."""
    number = shift = 0
    while True:
        byte = data[place]
        number, shift, place = number | (byte & 0x7F) << shift, shift + 7, place + 1
        if byte < MORE:
            return number, place
