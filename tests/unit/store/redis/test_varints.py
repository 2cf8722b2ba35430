"""Varints, compared with protobuf's encoder."""

from itertools import pairwise

import numpy as np
import pytest
from google.protobuf.wrappers_pb2 import Int64Value

from services.store.redis import varints

EDGES = [0, 1, 127, 128, 2**14 - 1, 2**14, 2**56, 2**62, 2**63 - 1, -1, -(2**63)]
"""Numbers at the borders between encoded lengths."""


def encode_with_protobuf(number: int) -> bytes:
    """The number as protobuf's library encodes it, without the tag; it leaves a zero out."""
    return Int64Value(value=number).SerializeToString()[1:] or b"\0"


@pytest.mark.parametrize("values", [EDGES, [], [5]], ids=["edges", "none", "one"])
def test_numbers_are_encoded_as_protobuf_does(values: list[int]) -> None:
    data, size = varints.encode(np.array(values, np.int64))
    expected = [encode_with_protobuf(value) for value in values]
    assert b"".join(expected) == data
    assert list(map(len, expected)) == size.tolist()


def test_numbers_are_decoded_row_by_row() -> None:
    """Any numbers, with rows without numbers in the middle, at the start and at the end."""
    random = np.random.default_rng(0)
    lengths = np.array([0, 3, 0, 7, 1, 0, 200, 0])
    values = random.integers(-(2**63), 2**63 - 1, lengths.sum()) >> random.integers(0, 63, lengths.sum())
    data, size = varints.encode(values)
    ends = np.cumsum(np.r_[0, size])[np.cumsum(np.r_[0, lengths])]
    found, counts = varints.decode([data[a:b] for a, b in pairwise(ends)])
    np.testing.assert_array_equal(values, found)
    np.testing.assert_array_equal(lengths, counts)


@pytest.mark.parametrize("number", [0, 127, 128, 300, 2**40])
def test_one_number_is_encoded_as_protobuf_does(number: int) -> None:
    assert encode_with_protobuf(number) == varints.encode_varint(number)


@pytest.mark.parametrize("payloads", [[b"\x80"], [b"\x01", b"\x80\x80"], [b"\x80" * 10 + b"\x01"]])
def test_invalid_varints_are_an_error(payloads: list[bytes]) -> None:
    """A payload that ends within a number, and a number that is too long."""
    with pytest.raises(ValueError, match="varints"):
        varints.decode(payloads)
