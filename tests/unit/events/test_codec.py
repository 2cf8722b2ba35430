"""Encoding entries as record values, and decoding them."""

import pytest
from google.protobuf import json_format
from google.protobuf.timestamp_pb2 import Timestamp

from crossrec.events.v1.events_pb2 import EVENT_TYPE_CLICK, BehaviorEvent, Entry, ItemUpdate
from services.events.codec import MAX_ENTRY_BYTES, BadRecord, decode, encode

CLICK = Entry(
    behavior_event=BehaviorEvent(
        event_id="e", user_id="ü", scenario_id="tv", type=EVENT_TYPE_CLICK, item_id="i", time=Timestamp(seconds=9)
    )
)
JSON_HEADER = [("content-type", b"application/json")]


def test_an_encoded_entry_is_decoded_to_the_same_entry() -> None:
    """No field is lost."""
    assert decode(*encode(CLICK)) == CLICK


def test_a_record_without_content_type_is_protobuf() -> None:
    """Producers that write the gateway's format may omit the header."""
    assert decode(CLICK.SerializeToString(), [("traceparent", b"x")]) == CLICK


@pytest.mark.parametrize("content_type", ["application/json", "Application/JSON; charset=utf-8"])
def test_json_is_canonical_protobuf_json(content_type: str) -> None:
    """A producer without protobuf writes JSON; case and parameters of the media type don't matter."""
    value = json_format.MessageToJson(CLICK).encode()
    assert decode(value, [("content-type", content_type.encode())]) == CLICK


def test_json_takes_enum_names_and_rfc_3339_times() -> None:
    """Hand-written JSON is parsed."""
    value = b"""{"behaviorEvent": {"eventId": "e", "userId": "\xc3\xbc", "scenarioId": "tv",
        "type": "EVENT_TYPE_CLICK", "itemId": "i", "time": "1970-01-01T00:00:09Z"}}"""
    assert decode(value, JSON_HEADER) == CLICK


def test_the_last_content_type_header_is_used() -> None:
    """As in Kafka's own clients."""
    headers = [("content-type", b"application/json"), ("content-type", b"application/x-protobuf")]
    assert decode(CLICK.SerializeToString(), headers) == CLICK


@pytest.mark.parametrize(
    ("value", "headers", "reason"),
    [
        pytest.param(None, [], "the value is empty", id="tombstone"),
        pytest.param(b"", JSON_HEADER, "the value is empty", id="empty value"),
        pytest.param(b"\xff", [], "not a protobuf Entry", id="not protobuf"),
        pytest.param(b"\x0a\x03\x12\x01\xff", [], "not a protobuf Entry", id="string that is not UTF-8"),
        pytest.param(b"{}", [("content-type", b"text/csv")], "unknown content-type 'text/csv'", id="other type"),
        pytest.param(b"{}", [("content-type", b"\xff")], "unknown content-type", id="type that is not UTF-8"),
        pytest.param(b"{}", [("content-type", None)], "unknown content-type ''", id="type without value"),
        pytest.param(b"{", JSON_HEADER, "not an Entry in JSON", id="not JSON"),
        pytest.param(b"\xff", JSON_HEADER, "not JSON: not UTF-8", id="JSON that is not UTF-8"),
        pytest.param(b"7", JSON_HEADER, "not an Entry in JSON", id="JSON that is no object"),
        pytest.param(b"[" * 100_000, JSON_HEADER, "not an Entry in JSON", id="JSON nested too deep"),
        pytest.param(b'{"color": 1}', JSON_HEADER, 'no field named "color"', id="unknown JSON field"),
        pytest.param(b'{"itemUpdate": {"itemId": 3}}', JSON_HEADER, "itemId", id="JSON field of another type"),
        pytest.param(
            b'{"itemUpdate": {}, "userErasure": {}}', JSON_HEADER, "multiple", id="two kinds in one JSON entry"
        ),
    ],
)
def test_a_value_that_is_not_an_entry_is_a_bad_record_with_a_reason(
    value: bytes | None, headers: list[tuple[str, bytes | None]], reason: str
) -> None:
    """The reason goes to the dead-letter topic, so it names the problem, in bounded length."""
    with pytest.raises(BadRecord) as caught:
        decode(value, headers)
    assert reason in str(caught.value)
    assert len(str(caught.value)) < 400


def test_an_entry_that_breaks_rules_still_decodes() -> None:
    """Decoding does not validate: the consumer reports the broken rule."""
    assert Entry(item_update=ItemUpdate()) == decode(b'{"itemUpdate": {}}', JSON_HEADER)


def test_a_value_larger_than_any_entry_is_not_parsed() -> None:
    """Ten megabytes of JSON in a compressed record would take seconds."""
    padded = json_format.MessageToJson(CLICK).encode() + b" " * MAX_ENTRY_BYTES
    with pytest.raises(BadRecord, match=f"the value is {len(padded)} bytes long, at most 262144"):
        decode(padded, JSON_HEADER)
    assert CLICK == decode(padded[:MAX_ENTRY_BYTES], JSON_HEADER)
