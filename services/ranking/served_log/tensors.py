"""Tensors as bytes in a served record, and back.

Knows which tensors are per item and which are exact in half precision; knows nothing of what their columns mean.
"""

from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import Any

import numpy as np

from crossrec.ranking.v1 import served_pb2 as pb
from services.errors import CrossRecError
from services.features.encode import Tensors

PER_ITEM = ("item", "item_text", "cross")
"""Tensors whose first axis is items."""

HALVES = ("item_text",)
"""Tensors that are stored in half precision, because the features are."""

_DTYPES: dict[int, np.dtype[Any]] = {
    pb.TENSOR_TYPE_FLOAT16: np.dtype("<f2"),
    pb.TENSOR_TYPE_FLOAT32: np.dtype("<f4"),
}


class InvalidTensor(CrossRecError):
    """A tensor of a record cannot be read."""


def pack_tensors(tensors: Tensors, chosen: np.ndarray) -> list[pb.ServedTensor]:
    """The tensors of the items at `chosen` [K], in that order."""
    values = {field.name: getattr(tensors, field.name) for field in fields(Tensors)}
    return [_pack_tensor(name, value[chosen] if name in PER_ITEM else value) for name, value in values.items()]


def unpack_tensors(tensors: Iterable[pb.ServedTensor]) -> Mapping[str, np.ndarray]:
    """The tensors by name, in single precision. Raises InvalidTensor."""
    return {tensor.name: _unpack_tensor(tensor) for tensor in tensors}


def _pack_tensor(name: str, value: np.ndarray) -> pb.ServedTensor:
    kind = pb.TENSOR_TYPE_FLOAT16 if name in HALVES else pb.TENSOR_TYPE_FLOAT32
    return pb.ServedTensor(name=name, shape=value.shape, type=kind, values=value.astype(_DTYPES[kind]).tobytes())


def _unpack_tensor(tensor: pb.ServedTensor) -> np.ndarray:
    dtype = _DTYPES.get(tensor.type)
    if dtype is None:
        raise InvalidTensor(f"tensors[{tensor.name}].type: {tensor.type} is unknown")
    shape = tuple(tensor.shape)
    if len(tensor.values) != int(np.prod(shape)) * dtype.itemsize:
        raise InvalidTensor(f"tensors[{tensor.name}].values: {len(tensor.values)} bytes do not fit shape {shape}")
    return np.frombuffer(tensor.values, dtype).reshape(shape).astype(np.float32)
