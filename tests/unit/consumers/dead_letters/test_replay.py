"""What is sent for a dead letter, and what is refused."""

import pytest
from google.protobuf import json_format

from crossrec.events.v1.events_pb2 import Entry
from services.consumers.dead_letters.parse import ParsedDeadLetter
from services.consumers.dead_letters.replay import PreparedReplay, Repair, ReplayRefused, prepare_replay
from services.events.routing import route_entry
from services.kafka.record_source import OutputRecord
from services.settings.load import Settings
from tests.unit.consumers.streams import START_S, behavior_event, item_update, pair_update

SETTINGS = Settings()
HEADERS = [("content-type", b"text/plain"), ("trace", b"t")]


def letter(
    topic: str = "crossrec.behavior", key: bytes | None = b"u", value: bytes | None = b"\xff"
) -> ParsedDeadLetter:
    return ParsedDeadLetter(7, START_S, "why", topic, 2, 9, key, value, HEADERS)


def sending(found: ParsedDeadLetter, repair: Repair | None = None) -> PreparedReplay:
    return prepare_replay(found, SETTINGS, repair, lambda: START_S + 100)


def as_json(entry: Entry) -> bytes:
    return json_format.MessageToJson(entry).encode()


def test_without_a_repair_the_record_is_sent_as_it_was() -> None:
    """Key, value and headers."""
    assert PreparedReplay(OutputRecord("crossrec.behavior", b"u", b"\xff", HEADERS), b"u") == sending(letter())
    assert PreparedReplay(OutputRecord("crossrec.behavior", b"u", None, HEADERS), b"u") == sending(letter(value=None))


@pytest.mark.parametrize(
    ("topic", "key", "partition_key"),
    [
        ("crossrec.items", route_entry(pair_update(1, 2)).key, b"i1"),
        ("crossrec.items", b"i1", b"i1"),
        ("crossrec.behavior", b"u\x1fv", b"u\x1fv"),
        ("crossrec.activity", b"i1", b"i1"),
        ("crossrec.activity", None, None),
        ("crossrec.behavior", None, None),
    ],
)
def test_the_key_decides_the_partition_as_at_the_gateway(
    topic: str, key: bytes | None, partition_key: bytes | None
) -> None:
    """An item's records stay together; a record without a key goes back to where it was."""
    assert partition_key == sending(letter(topic, key)).partition_key


def test_an_edited_entry_is_sent_as_the_gateway_would_send_it() -> None:
    """Under the key of what it holds, as protobuf; other headers stay."""
    entry = behavior_event(1, user_id="u9")
    expected = OutputRecord(
        "crossrec.behavior",
        b"u9",
        entry.SerializeToString(),
        [("content-type", b"application/x-protobuf"), ("trace", b"t")],
    )
    assert PreparedReplay(expected, b"u9") == sending(letter(), Repair("entry", as_json(entry)))
    update = pair_update(1, 2)
    update.item_scenario_update.attributes.clear()
    pair = sending(letter("crossrec.items"), Repair("entry", as_json(update)))
    assert (b"i1\x1fs2", b"i1") == (pair.record.key, pair.partition_key)


def test_repaired_bytes_keep_the_headers() -> None:
    """They are read in the format that these name."""
    found = ParsedDeadLetter(
        7, START_S, "why", "crossrec.behavior", 2, 9, b"u", b"\xff", [("content-type", b"application/json")]
    )
    content = as_json(behavior_event(1))
    assert (
        OutputRecord("crossrec.behavior", b"u0", content, list(found.headers))
        == sending(found, Repair("value", content)).record
    )


@pytest.mark.parametrize(
    ("found", "repair", "reason"),
    [
        (letter(), Repair("entry", b"{"), "not an Entry in JSON"),
        (letter(), Repair("entry", as_json(behavior_event(1, user_id=""))), "behavior_event.user_id: is empty"),
        (letter(), Repair("entry", as_json(behavior_event(9999))), "behavior_event.time: is .* beyond"),
        (letter(), Repair("entry", as_json(item_update(1))), "entry: item_update does not belong on this topic"),
        (letter(), Repair("value", b"x"), "unknown content-type 'text/plain'"),
        (letter("crossrec.activity"), Repair("value", b"\xff"), "not ActivityDeltas"),
        (letter("crossrec.activity"), Repair("entry", b"{}"), "not entries"),
        (letter("other.behavior"), None, "no consumer reads its topic 'other.behavior'"),
        (letter("crossrec.ranked"), None, "no consumer reads its topic 'crossrec.ranked'"),
    ],
)
def test_what_would_fail_again_is_refused(found: ParsedDeadLetter, repair: Repair | None, reason: str) -> None:
    """With the letter, the field and the reason."""
    with pytest.raises(ReplayRefused, match=f"dead letter 7: .*{reason}"):
        sending(found, repair)
