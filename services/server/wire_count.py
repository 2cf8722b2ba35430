"""Counts the entries of a repeated field in a serialised message, without parsing it.

A parsed entry takes tens of bytes even if it has two on the wire, so that a request of a few megabytes can take
hundreds. The count stops at the limit, and at bytes that are no message: those are left to the parser.
"""

from dataclasses import dataclass

from services.errors import InvalidRequest

SMALL_BYTES = 64 * 1024
"""Messages up to this size are not counted: parsed, they are small whatever they hold."""

_FIXED = {1: 8, 5: 4}
_VARINT, _BYTES = 0, 2


@dataclass(frozen=True)
class WireLimit:
    """The most entries of a repeated field of messages or strings.

    Args:
        field: its name, for the error.
        number: its field number.
        most: the most entries.
    """

    field: str
    number: int
    most: int

    def check(self, data: bytes) -> None:
        """Raises InvalidRequest for a message with more entries."""
        if len(data) > SMALL_BYTES and count_entries(data, self.number, self.most) > self.most:
            raise InvalidRequest(self.field, f"has more than {self.most} entries")


def count_entries(data: bytes, number: int, most: int) -> int:
    """How often field `number` is in the message, or most + 1 if it is more often."""
    at, end, found = 0, len(data), 0
    try:
        while at < end and found <= most:
            tag, at = _varint(data, at)
            kind = tag & 7
            found += tag >> 3 == number
            if kind == _BYTES:
                length, at = _varint(data, at)
                at += length
            elif kind == _VARINT:
                _, at = _varint(data, at)
            else:
                at += _FIXED[kind]
    except (IndexError, KeyError):  # not a message
        return found
    return found


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """The number at a position, and the position after it."""
    byte = data[at]
    if byte < 0x80:
        return byte, at + 1
    value, shift = byte & 0x7F, 7
    while True:
        at += 1
        byte = data[at]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at + 1
        shift += 7
