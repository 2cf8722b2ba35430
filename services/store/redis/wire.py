"""Columns of rows to Feast's serialised Value messages, many at once, without making the messages.

A packed list of doubles is its little-endian bytes after two tags and lengths, a list of int64 its varints after them:
numpy converts whole columns. `wire_decode` has the way back. Knows no store and no keys.
"""

from collections.abc import Iterator
from functools import lru_cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from services.features.feature import SCALAR, VARIABLE, Feature
from services.features.rows import Block, Ints, default_value
from services.store.redis import varints
from services.store.redis.varints import encode_varint

LIST_TAG = {"string": b"\x62", "int64": b"\x72", "float64": b"\x7a"}
"""Fields 12, 14 and 15 of Value: a message with the list in its field 1."""

SCALAR_TAG = {"string": b"\x12", "int64": b"\x20", "float64": b"\x29"}
"""Fields 2, 4 and 5 of Value."""

ITEM_TAG = b"\x0a"
HEADS = 1 << 16
"""Heads of lists that are cached, by length."""

DOUBLE = np.dtype("<f8")


def encode_block(block: Block) -> dict[str, list[bytes]]:
    """The serialised Values of each feature, row by row."""
    return {feature.name: _encode_feature(feature, block) for feature in block.view.features}


def _encode_feature(feature: Feature, block: Block) -> list[bytes]:
    if feature.length == VARIABLE:
        ragged = block.ragged[feature.name]
        return _encode_lists(feature, ragged.values, ragged.lengths)
    column = block.fixed[feature.name]
    if feature.length == SCALAR:
        return _encode_scalars(feature, column)
    return _encode_lists(feature, column.reshape(-1), np.full(block.size, feature.length, np.int64))


def _encode_scalars(feature: Feature, column: NDArray[np.generic]) -> list[bytes]:
    tag = SCALAR_TAG[feature.dtype]
    if feature.dtype == "string":
        return [_encode_delimited(tag, text.encode()) for text in column.tolist()]
    return [tag + part for part in _encode_numbers(feature, column, np.ones(len(column), np.int64))]


def _encode_lists(feature: Feature, values: NDArray[np.generic], lengths: Ints) -> list[bytes]:
    tag = LIST_TAG[feature.dtype]
    if feature.dtype == "string":
        items = [_encode_delimited(ITEM_TAG, text.encode()) for text in values.tolist()]
        return [_encode_delimited(tag, b"".join(items[a:b])) for a, b in pairwise(row_ends(lengths).tolist())]
    return [list_head(tag, len(part)) + part for part in _encode_numbers(feature, values, lengths)]


def _encode_numbers(feature: Feature, values: NDArray[np.generic], lengths: Ints) -> Iterator[bytes]:
    """The packed numbers of each row."""
    if feature.dtype == "float64":
        data, ends = values.astype(DOUBLE, copy=False).tobytes(), row_ends(8 * lengths)
    else:
        data, size = varints.encode(values.astype(np.int64, copy=False))
        ends = row_ends(size)[row_ends(lengths)]
    return (data[a:b] for a, b in pairwise(ends.tolist()))


def row_ends(sizes: Ints) -> Ints:
    """0, and the end of each of these sizes, side by side."""
    ends = np.zeros(len(sizes) + 1, np.int64)
    np.cumsum(sizes, out=ends[1:])
    return ends


@lru_cache(HEADS)
def list_head(tag: bytes, payload: int) -> bytes:
    """What precedes `payload` bytes of packed numbers."""
    item = ITEM_TAG + encode_varint(payload) if payload else b""
    return tag + encode_varint(len(item) + payload) + item


def _encode_delimited(tag: bytes, payload: bytes) -> bytes:
    return tag + encode_varint(len(payload)) + payload


@lru_cache
def encode_default(feature: Feature) -> bytes:
    """The serialised default of a feature."""
    default = default_value(feature).reshape(-1)
    if feature.length == SCALAR:
        return _encode_scalars(feature, default)[0]
    return _encode_lists(feature, default, np.array([len(default)]))[0]
