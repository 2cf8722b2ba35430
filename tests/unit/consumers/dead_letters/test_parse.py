"""Parsing of dead letters."""

import pytest

from crossrec.events.v1.activity_pb2 import ActivityDelta, ActivityDeltas
from services.consumers.dead_letters.parse import (
    ParsedDeadLetter,
    format_value,
    hex_dump,
    parse_dead_letter,
    printable,
    replay_marker,
    replayed_number,
)
from services.consumers.dead_letters.record import DeadLetter
from services.kafka.record_source import OutputRecord, Record
from tests.unit.consumers.streams import behavior_event

DELTA = ActivityDelta(item_id="i7")
ACTIVITY = "crossrec.activity"


def stored(output: OutputRecord, offset: int = 3) -> Record:
    """The record as it is read from the topic."""
    return Record(output.topic, 0, offset, output.key, output.value, list(output.headers), 1_700_000_000.5)


def dead_letter(
    value: bytes | None, topic: str = "crossrec.behavior", content_type: bytes | None = None
) -> ParsedDeadLetter:
    headers = [] if content_type is None else [("content-type", content_type)]
    return parse_dead_letter(stored(DeadLetter(Record(topic, 2, 9, b"u", value, list(headers)), "why").output("d")))


def test_a_dead_letter_that_a_consumer_wrote_is_parsed() -> None:
    """The record's headers get their original names, also if these start with the prefix."""
    record = Record(
        "crossrec.items", 2, 9, b"i1", b"\xff", [("trace", b"t"), ("original-x", b"1"), ("reason", b"mine")]
    )
    found = parse_dead_letter(stored(DeadLetter(record, "item_update.time: is not set").output("d")))
    assert (3, 1_700_000_000.5, "item_update.time: is not set") == (found.number, found.time_s, found.reason)
    assert (record.topic, 2, 9, b"i1", b"\xff") == (found.topic, found.partition, found.offset, found.key, found.value)
    assert record.headers == found.headers


def test_replay_markers_are_distinguished_from_dead_letters() -> None:
    """By a header that no record can forge, since original headers get a prefix."""
    assert 17 == replayed_number(stored(replay_marker("d", 17)))
    forged = DeadLetter(Record("t", 0, 0, b"replayed", None, [("replay-of", b"4")]), "why").output("d")
    assert replayed_number(stored(forged)) is None


@pytest.mark.parametrize(
    ("found", "form", "part"),
    [
        (dead_letter(behavior_event(1).SerializeToString()), "Entry", '"userId": "u0"'),
        (
            dead_letter(b'{"behaviorEvent": {"userId": "u7"}}', content_type=b"application/json"),
            "Entry",
            '"userId": "u7"',
        ),
        (dead_letter(b'{"user": ["u7"]}', content_type=b"text/plain"), "JSON", '"user": ['),
        (
            dead_letter(ActivityDeltas(deltas=[DELTA]).SerializeToString(), ACTIVITY),
            "ActivityDeltas",
            '"itemId": "i7"',
        ),
        (dead_letter(b"\x08", ACTIVITY), "bytes", "00000000  08"),
        (dead_letter(b"\xff\x00A"), "bytes", "00000000  ff 00 41 "),
        (dead_letter(b""), "bytes", ""),
        (dead_letter(None), "null", ""),
        (dead_letter(b"[" * 100_000), "bytes", "5b 5b"),
    ],
)
def test_values_are_shown_as_far_as_they_can_be_read(found: ParsedDeadLetter, form: str, part: str) -> None:
    """Entries as protobuf JSON, JSON indented, the rest as a hex dump."""
    shown = format_value(found, ACTIVITY)
    assert form == shown[0]
    assert part in shown[1]


def test_a_hex_dump_has_sixteen_bytes_a_line() -> None:
    """Offsets, bytes, ASCII."""
    first, second = hex_dump(bytes(range(60, 78))).splitlines()
    assert first.endswith("4b  <=>?@ABCDEFGHIJK")
    assert second.startswith("00000010  4c 4d ")


def test_control_characters_are_replaced() -> None:
    """Line ends are kept."""
    assert "a�[2Jb\n茶" == printable("a\x1b[2Jb\n茶")


def test_records_that_no_consumer_wrote_are_shown_as_they_are() -> None:
    """Whoever may write the topic may write anything to it: no list ends because of that."""
    for headers in ([], [("partition", b"x"), ("offset", b"9" * 5000)], [("offset", b"-7"), ("reason", b"\xff")]):
        found = parse_dead_letter(Record("d", 0, 3, None, None, list(headers)))
        assert (3, -1, -1) == (found.number, found.partition, found.offset)
    assert -1 == replayed_number(Record("d", 0, 3, None, None, [("replay-of", b"seven")]))


def test_a_part_of_a_record_says_what_the_whole_is() -> None:
    """In the headers that consumers write; a record's own header of that name is the record's."""
    record = Record("crossrec.items", 2, 9, b"i1", b"\xff" * 3_000_000, [("cut", b"mine")])
    found = parse_dead_letter(stored(DeadLetter(record, "why").output("d")))
    assert "value 3000000 bytes, key 2 bytes, headers 7 bytes" == found.cut
    assert [("cut", b"mine")] == found.headers
