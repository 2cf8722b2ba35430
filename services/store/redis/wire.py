"""Columns of rows to Feast's serialised Value messages and back, many at once, without making the messages.

A packed list of doubles is its little-endian bytes after two tags and lengths, a list of int64 its varints after them:
numpy converts whole columns. Values that are not encoded the way protobuf's own encoders do it (another client wrote
them) are parsed by protobuf and encoded anew. Knows no store and no keys.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import chain, pairwise

import numpy as np
from numpy.typing import NDArray

from services.features.feature import SCALAR, VARIABLE, Feature
from services.features.rows import Block, Floats, Ints, Ragged, default_value
from services.features.schema import View
from services.store.redis import varints
from services.store.redis.varints import MORE, encode_varint

Cells = Sequence[bytes | None]
"""Serialised values of one feature, row by row; None or empty: not set."""

Reserialize = Callable[[bytes], bytes]
"""Parses a serialised Value, however it is encoded, and serialises it as protobuf does."""

_LIST_TAG = {"string": b"\x62", "int64": b"\x72", "float64": b"\x7a"}
"""Fields 12, 14 and 15 of Value: a message with the list in its field 1."""

_SCALAR_TAG = {"string": b"\x12", "int64": b"\x20", "float64": b"\x29"}
"""Fields 2, 4 and 5 of Value."""

_ITEM_TAG = b"\x0a"
_MAX_LENGTH_BYTES = 5
_HEADS = 1 << 16
"""Heads of lists that are cached, by length."""

_DOUBLE = np.dtype("<f8")


class NotCanonical(ValueError):
    """A value is not encoded as protobuf's own encoders do it, or not of the type in the schema."""


def encode_block(block: Block) -> dict[str, list[bytes]]:
    """The serialised Values of each feature, row by row."""
    return {feature.name: _encode_feature(feature, block) for feature in block.view.features}


def decode_block(view: View, columns: Mapping[str, Cells], rows: int, reserialize: Reserialize) -> Block:
    """The rows whose serialised Values are `columns`; values that are not set take the feature's default.

    Raises NotCanonical for a value of another type or length than in the schema.
    """
    cells = {feature.name: _fill_defaults(feature, columns[feature.name]) for feature in view.features}
    try:
        decoded = _decode_features(view.features, cells, rows)
    except NotCanonical:
        reserialized = {name: [reserialize(cell) for cell in column] for name, column in cells.items()}
        decoded = _decode_features(view.features, reserialized, rows)
    fixed = {name: column for name, column in decoded.items() if not isinstance(column, Ragged)}
    return Block(view, rows, fixed, {name: column for name, column in decoded.items() if isinstance(column, Ragged)})


def decode_column(feature: Feature, cells: Cells, reserialize: Reserialize) -> NDArray[np.generic] | Ragged:
    """One feature of all rows: [R], [R, length] or ragged. Raises NotCanonical as `decode_block` does."""
    filled = _fill_defaults(feature, cells)
    try:
        return _decode_feature(feature, filled)
    except NotCanonical:
        return _decode_feature(feature, [reserialize(cell) for cell in filled])


def _fill_defaults(feature: Feature, cells: Cells) -> list[bytes]:
    """The cells, with the feature's default for those that are not set."""
    if all(cells):
        return cells  # type: ignore[return-value]
    unset = _encode_default(feature)
    return [cell or unset for cell in cells]


def _decode_features(
    features: Sequence[Feature], cells: Mapping[str, Sequence[bytes]], rows: int
) -> dict[str, NDArray[np.generic] | Ragged]:
    """All features of some rows: the numbers of each type are decoded at once, across features."""
    decoded = {f.name: _decode_feature(f, cells[f.name]) for f in features if f.dtype == "string"}
    for dtype in ("int64", "float64"):
        group = [feature for feature in features if feature.dtype == dtype]
        if not group:
            continue
        payloads = [payload for feature in group for payload in _payloads_of(feature, cells[feature.name])]
        values, lengths = _decode_numbers(group[0], payloads)
        ends = _ends(lengths)[::rows].tolist() if rows else [0] * (len(group) + 1)
        for number, feature in enumerate(group):
            of_rows = lengths[number * rows : (number + 1) * rows]
            decoded[feature.name] = _shape_column(feature, values[ends[number] : ends[number + 1]], of_rows)
    return decoded


def _payloads_of(feature: Feature, cells: Sequence[bytes]) -> list[bytes]:
    """The packed numbers of each cell."""
    if feature.length != SCALAR:
        return _list_payloads(_LIST_TAG[feature.dtype], cells)
    tag = _SCALAR_TAG[feature.dtype]
    if not all(cell.startswith(tag) for cell in cells):
        raise NotCanonical(f"{feature.name}: not a scalar of type {feature.dtype}")
    return [cell[1:] for cell in cells]


def _shape_column(feature: Feature, values: NDArray[np.generic], lengths: Ints) -> NDArray[np.generic] | Ragged:
    """Numbers of all rows as a column of the feature's length."""
    if feature.length == VARIABLE:
        return Ragged(values, lengths)
    width = 1 if feature.length == SCALAR else feature.length
    if (lengths != width).any():
        raise NotCanonical(
            f"{feature.name}: {'not one value' if feature.length == SCALAR else f'a list is not {width} long'}"
        )
    return values if feature.length == SCALAR else values.reshape(len(lengths), width)


def _encode_feature(feature: Feature, block: Block) -> list[bytes]:
    if feature.length == VARIABLE:
        ragged = block.ragged[feature.name]
        return _encode_lists(feature, ragged.values, ragged.lengths)
    column = block.fixed[feature.name]
    if feature.length == SCALAR:
        return _encode_scalars(feature, column)
    return _encode_lists(feature, column.reshape(-1), np.full(block.size, feature.length, np.int64))


def _encode_scalars(feature: Feature, column: NDArray[np.generic]) -> list[bytes]:
    tag = _SCALAR_TAG[feature.dtype]
    if feature.dtype == "string":
        return [_encode_delimited(tag, text.encode()) for text in column.tolist()]
    return [tag + part for part in _encode_numbers(feature, column, np.ones(len(column), np.int64))]


def _encode_lists(feature: Feature, values: NDArray[np.generic], lengths: Ints) -> list[bytes]:
    tag = _LIST_TAG[feature.dtype]
    if feature.dtype == "string":
        items = [_encode_delimited(_ITEM_TAG, text.encode()) for text in values.tolist()]
        return [_encode_delimited(tag, b"".join(items[a:b])) for a, b in pairwise(_ends(lengths).tolist())]
    return [_list_head(tag, len(part)) + part for part in _encode_numbers(feature, values, lengths)]


def _encode_numbers(feature: Feature, values: NDArray[np.generic], lengths: Ints) -> Iterator[bytes]:
    """The packed numbers of each row."""
    if feature.dtype == "float64":
        data, ends = values.astype(_DOUBLE, copy=False).tobytes(), _ends(8 * lengths)
    else:
        data, size = varints.encode(values.astype(np.int64, copy=False))
        ends = _ends(size)[_ends(lengths)]
    return (data[a:b] for a, b in pairwise(ends.tolist()))


def _ends(sizes: Ints) -> Ints:
    ends = np.zeros(len(sizes) + 1, np.int64)
    np.cumsum(sizes, out=ends[1:])
    return ends


def _decode_feature(feature: Feature, cells: Sequence[bytes]) -> NDArray[np.generic] | Ragged:
    if feature.dtype != "string":
        return _shape_column(feature, *_decode_numbers(feature, _payloads_of(feature, cells)))
    if feature.length == SCALAR:
        texts = [_decode_strings(_SCALAR_TAG["string"], cell) for cell in cells]
    else:
        texts = [_decode_strings(_ITEM_TAG, payload) for payload in _list_payloads(_LIST_TAG["string"], cells)]
    values: NDArray[np.generic] = np.array([*chain.from_iterable(texts)], object)
    return _shape_column(feature, values, np.array([len(row) for row in texts], np.int64))


def _decode_numbers(feature: Feature, payloads: Sequence[bytes]) -> tuple[Floats | Ints, Ints]:
    """The numbers of all rows, and how many each has."""
    if feature.dtype == "int64":
        try:
            return varints.decode(payloads)
        except ValueError as error:
            raise NotCanonical(f"{feature.name}: {error}") from error
    sizes = np.fromiter(map(len, payloads), np.int64, len(payloads))
    if (sizes % _DOUBLE.itemsize).any():
        raise NotCanonical(f"{feature.name}: not a list of doubles")
    # From a bytearray, so that the array is writeable.
    values = np.frombuffer(bytearray().join(payloads), _DOUBLE).astype(np.float64, copy=False)
    return values, sizes // _DOUBLE.itemsize


def _list_payloads(tag: bytes, cells: Iterable[bytes]) -> list[bytes]:
    """The payload of each list: its packed numbers, or its tagged strings."""
    payloads = []
    for cell in cells:
        head = _find_list_head(tag, len(cell))
        if not cell.startswith(head):
            raise NotCanonical("not a list in its shortest form")
        payloads.append(cell[len(head) :])
    return payloads


@lru_cache(_HEADS)
def _find_list_head(tag: bytes, size: int) -> bytes:
    """What precedes the payload of a list in a serialised Value of `size` bytes."""
    packed = tag != _LIST_TAG["string"]
    for head_bytes in range(2, 2 * (1 + _MAX_LENGTH_BYTES) + 1):
        payload = size - head_bytes
        if payload < 0:
            break
        head = _list_head(tag, payload) if packed else tag + encode_varint(payload)
        if len(head) == head_bytes:
            return head
    raise NotCanonical(f"no list is {size} bytes long")


@lru_cache(_HEADS)
def _list_head(tag: bytes, payload: int) -> bytes:
    """What precedes `payload` bytes of packed numbers."""
    item = _ITEM_TAG + encode_varint(payload) if payload else b""
    return tag + encode_varint(len(item) + payload) + item


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


def _encode_delimited(tag: bytes, payload: bytes) -> bytes:
    return tag + encode_varint(len(payload)) + payload


@lru_cache
def _encode_default(feature: Feature) -> bytes:
    default = default_value(feature).reshape(-1)
    if feature.length == SCALAR:
        return _encode_scalars(feature, default)[0]
    return _encode_lists(feature, default, np.array([len(default)]))[0]
