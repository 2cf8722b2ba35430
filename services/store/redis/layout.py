"""Where Feast's Redis store keeps a row: its key, and the hash fields of its features, time and fence.

A key is Feast's entity key, version 3, followed by the project; a field is the little-endian murmur3 of
`view:feature`. All views of an entity share a hash.
"""

import struct
from collections.abc import Sequence
from datetime import UTC, datetime

import mmh3
import numpy as np
from google.protobuf.timestamp_pb2 import Timestamp

from services.features.rows import Block, Floats
from services.features.schema import View
from services.store.protocol import Key

POSITION_FIELD = "_position:{view}"
"""Hash field beside Feast's own that holds `epoch:partition:offset` for the fence."""

_STRING = struct.pack("<I", 2)
"""Feast's ValueType.STRING; every entity is one."""


class Layout:
    """Keys and fields of one view's rows.

    Args:
        view: the view.
        project: the Feast project.
    """

    def __init__(self, view: View, project: str) -> None:
        self.fields = {feature.name: _field(f"{view.name}:{feature.name}") for feature in view.features}
        self.time_field = f"_ts:{view.name}".encode()
        self.position_field = POSITION_FIELD.format(view=view.name).encode()
        self._order = sorted(range(len(view.entities)), key=view.entities.__getitem__)
        names = [view.entities[place].encode() for place in self._order]
        self._head = struct.pack("<I", len(names)) + b"".join(map(_string, names))
        self._tail = project.encode()

    @property
    def prefix(self) -> bytes:
        """What the keys of all rows of the view's entities begin with."""
        return self._head

    def ids(self, key: bytes) -> Key | None:
        """The entity ids in a key in Redis; None if it is of other entities or of another project."""
        if not key.startswith(self._head):
            return None
        at, found = len(self._head), [""] * len(self._order)
        for place in self._order:
            end = at + 8 + int.from_bytes(key[at + 4 : at + 8], "little")
            found[place] = key[at + 8 : end].decode()
            at = end
        return tuple(found) if key[at:] == self._tail else None

    def keys(self, keys: Sequence[Key]) -> list[bytes]:
        """The Redis key of each row."""
        head, tail, order = self._head, self._tail, self._order
        return [b"".join([head, *[_string(key[place].encode()) for place in order], tail]) for key in keys]


def _string(text: bytes) -> bytes:
    return _STRING + struct.pack("<I", len(text)) + text


def _field(name: str) -> bytes:
    return struct.pack("<I", mmh3.hash(name, signed=False))


def stamps(block: Block) -> list[bytes]:
    """The serialised time of each row, to the microsecond.

    The epoch marks a missing row, so a row without a time of its own gets the first second after it.
    """
    names = [name for name in ("time_s", "updated_s") if name in block.fixed]
    times: Floats = block.floats(names[0]) if names else np.zeros(block.size)
    return [_stamp(time_s) for time_s in np.maximum(times, 1.0).tolist()]


def _stamp(time_s: float) -> bytes:
    stamp = Timestamp()
    stamp.FromDatetime(datetime.fromtimestamp(time_s, tz=UTC))
    return stamp.SerializeToString()


def positions(block: Block) -> list[bytes]:
    """What each row's fence is to hold."""
    return [b"%d:%d:%d" % tuple(position) for position in block.ints("position").tolist()]
