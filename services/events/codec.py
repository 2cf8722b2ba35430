"""Entries as Kafka record values, in two formats named by the record header `content-type`.

`application/x-protobuf` is the gateway's format and the default of records without the header; `application/json` is
canonical protobuf JSON, for producers without protobuf.
"""

from collections.abc import Callable, Iterable

from google.protobuf import json_format
from google.protobuf.message import DecodeError

from crossrec.events.v1.events_pb2 import Entry
from services.errors import CrossRecError

CONTENT_TYPE = "content-type"
PROTOBUF = "application/x-protobuf"
JSON = "application/json"

MAX_ENTRY_BYTES = 256 * 1024
"""No valid entry is larger, in either format; parsing megabytes of JSON would take seconds."""

Headers = list[tuple[str, bytes]]

_PROTOBUF_HEADERS: Headers = [(CONTENT_TYPE, PROTOBUF.encode())]
"""Headers of the gateway's records."""

_MAX_REASON_CHARS = 300


class BadRecord(CrossRecError):
    """A record's value is not an entry; the message is the reason."""


def encode(entry: Entry) -> tuple[bytes, Headers]:
    """Encode an entry as record value and headers."""
    return entry.SerializeToString(), list(_PROTOBUF_HEADERS)


def decode(value: bytes | None, headers: Iterable[tuple[str, bytes | None]]) -> Entry:
    """Decode the entry of a record, without validation; raises BadRecord if there is none."""
    if not value:
        raise BadRecord("the value is empty")
    if len(value) > MAX_ENTRY_BYTES:
        raise BadRecord(f"the value is {len(value)} bytes long, at most {MAX_ENTRY_BYTES}")
    content_type = PROTOBUF if headers == _PROTOBUF_HEADERS else _content_type(headers)
    parse = _PARSERS.get(content_type)
    if parse is None:
        raise BadRecord(f"unknown content-type {content_type[:100]!r}, known: {PROTOBUF}, {JSON}")
    return parse(value)


def _content_type(headers: Iterable[tuple[str, bytes | None]]) -> str:
    """The media type without parameters, of the last such header, as in Kafka's own clients."""
    named = [value or b"" for name, value in headers if name.lower() == CONTENT_TYPE]
    return named[-1].decode(errors="replace").partition(";")[0].strip().lower() if named else PROTOBUF


def _from_protobuf(value: bytes) -> Entry:
    try:
        return Entry.FromString(value)
    except DecodeError as error:
        raise BadRecord(f"not a protobuf Entry: {error}") from error


def _from_json(value: bytes) -> Entry:
    try:
        return json_format.Parse(value.decode(), Entry())
    except UnicodeDecodeError as error:
        raise BadRecord("not JSON: not UTF-8") from error
    except json_format.ParseError as error:
        reason = " ".join(str(error).split())[:_MAX_REASON_CHARS]
        raise BadRecord(f"not an Entry in JSON: {reason}") from error


_PARSERS: dict[str, Callable[[bytes], Entry]] = {PROTOBUF: _from_protobuf, JSON: _from_json}
