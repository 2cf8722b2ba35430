"""The layout of rows in Feast's Redis store: the key of a row, and the hash fields of its features, time and fence.

A key is Feast's entity key, version 3, followed by the project; a field is the little-endian murmur3 of
`view:feature`. All views of an entity share a hash.
"""

import struct
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

import mmh3
import numpy as np
from google.protobuf.timestamp_pb2 import Timestamp

from services.features.rows import Block, Floats
from services.features.schema import View
from services.store.protocol import Key

POSITION_FIELD = "_position:{view}"
"""Hash field beside Feast's own that holds `epoch:partition:offset` for the fence."""

TIME_FIELD = "_ts:{view}"
"""Feast's hash field for the time of a row: without it there is no row."""

USER = "user_id"
"""The join key of rows that expire with their user. The mark of an erasure has another one and does not expire."""

DAY_MS = 24 * 3600 * 1000

_STRING = struct.pack("<I", 2)
"""Feast's ValueType.STRING, the type of every entity id."""


class RedisLayout:
    """Keys and fields of one view's rows.

    Args:
        view: the view.
        project: the Feast project.
    """

    def __init__(self, view: View, project: str) -> None:
        self.view = view
        names = [feature.name for feature in view.features]
        self.fields = dict(zip(names, self.fields_of(names), strict=True))
        self.time_field = TIME_FIELD.format(view=view.name).encode()
        self.position_field = POSITION_FIELD.format(view=view.name).encode()
        self._order = sorted(range(len(view.entities)), key=view.entities.__getitem__)
        entities = [view.entities[place].encode() for place in self._order]
        self.key_prefix = struct.pack("<I", len(entities)) + b"".join(map(_encode_string, entities))
        """Start of the keys of all rows of the view's entities, in every project."""
        self.key_suffix = project.encode()

    def fields_of(self, features: Iterable[str]) -> list[bytes]:
        """The hash field of each of these features of the view, whether the view has them still or had them once."""
        return [struct.pack("<I", mmh3.hash(f"{self.view.name}:{name}", signed=False)) for name in features]

    def encode_keys(self, keys: Sequence[Key]) -> list[bytes]:
        """The Redis key of each row."""
        prefix, suffix, order = self.key_prefix, self.key_suffix, self._order
        return [b"".join([prefix, *[_encode_string(key[place].encode()) for place in order], suffix]) for key in keys]

    def decode_key(self, key: bytes) -> Key | None:
        """The entity ids in a Redis key; None if it is of other entities or of another project."""
        if not key.startswith(self.key_prefix):
            return None
        at, ids = len(self.key_prefix), [""] * len(self._order)
        for place in self._order:
            end = at + 8 + int.from_bytes(key[at + 4 : at + 8], "little")
            ids[place] = key[at + 8 : end].decode()
            at = end
        return tuple(ids) if key[at:] == self.key_suffix else None


def _encode_string(text: bytes) -> bytes:
    return _STRING + struct.pack("<I", len(text)) + text


def expiry_ms(entities: Sequence[str], user_retention_days: int) -> int:
    """Milliseconds after its last write until an entity with these join keys expires; 0: never."""
    return user_retention_days * DAY_MS if USER in entities else 0


def encode_times(block: Block) -> list[bytes]:
    """The serialised time of each row, to the microsecond.

    The epoch marks a missing row, so a row without a time of its own gets the first second after it.
    """
    names = [name for name in ("time_s", "updated_s") if name in block.fixed]
    times: Floats = block.floats(names[0]) if names else np.zeros(block.size)
    return [_encode_time(time_s) for time_s in np.maximum(times, 1.0).tolist()]


def _encode_time(time_s: float) -> bytes:
    stamp = Timestamp()
    stamp.FromDatetime(datetime.fromtimestamp(time_s, tz=UTC))
    return stamp.SerializeToString()


def encode_positions(block: Block) -> list[bytes]:
    """The position of each row as the fence stores it."""
    return [encode_position(position) for position in block.ints("position").tolist()]


def encode_position(position: Sequence[int]) -> bytes:
    """A position as the fence stores it: `epoch:partition:offset`."""
    return b"%d:%d:%d" % tuple(position)
