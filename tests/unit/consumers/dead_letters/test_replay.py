"""The record that is sent for a dead letter, and the replays that are rejected."""

from dataclasses import replace

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


def dead_letter(
    topic: str = "crossrec.behavior", key: bytes | None = b"u", value: bytes | None = b"\xff"
) -> ParsedDeadLetter:
    return ParsedDeadLetter(7, START_S, "why", topic, 2, 9, key, value, HEADERS)


def prepare(found: ParsedDeadLetter, repair: Repair | None = None) -> PreparedReplay:
    return prepare_replay(found, SETTINGS, repair, lambda: START_S + 100)


def as_json(entry: Entry) -> bytes:
    return json_format.MessageToJson(entry).encode()


def test_without_a_repair_the_record_is_sent_as_it_was() -> None:
    """Key, value and headers."""
    assert PreparedReplay(OutputRecord("crossrec.behavior", b"u", b"\xff", HEADERS), b"u") == prepare(dead_letter())
    assert PreparedReplay(OutputRecord("crossrec.behavior", b"u", None, HEADERS), b"u") == prepare(
        dead_letter(value=None)
    )


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
    """An item's records share a partition; a record without a key is sent to its original partition."""
    assert partition_key == prepare(dead_letter(topic, key)).partition_key


def test_an_edited_entry_is_sent_in_the_gateways_format() -> None:
    """As protobuf, under the key of the edited entry; other headers are kept."""
    entry = behavior_event(1, user_id="u9")
    expected = OutputRecord(
        "crossrec.behavior",
        b"u9",
        entry.SerializeToString(),
        [("content-type", b"application/x-protobuf"), ("trace", b"t")],
    )
    assert PreparedReplay(expected, b"u9") == prepare(dead_letter(), Repair("entry", as_json(entry)))
    update = pair_update(1, 2)
    update.item_scenario_update.attributes.clear()
    pair = prepare(dead_letter("crossrec.items"), Repair("entry", as_json(update)))
    assert (b"i1\x1fs2", b"i1") == (pair.record.key, pair.partition_key)


def test_repaired_bytes_keep_the_headers() -> None:
    """Consumers decode them in the format that the headers name."""
    found = ParsedDeadLetter(
        7, START_S, "why", "crossrec.behavior", 2, 9, b"u", b"\xff", [("content-type", b"application/json")]
    )
    content = as_json(behavior_event(1))
    assert (
        OutputRecord("crossrec.behavior", b"u0", content, list(found.headers))
        == prepare(found, Repair("value", content)).record
    )


@pytest.mark.parametrize(
    ("found", "repair", "reason"),
    [
        (dead_letter(), Repair("entry", b"{"), "not an Entry in JSON"),
        (dead_letter(), Repair("entry", as_json(behavior_event(1, user_id=""))), "behavior_event.user_id: is empty"),
        (dead_letter(), Repair("entry", as_json(behavior_event(9999))), "behavior_event.time: is .* beyond"),
        (dead_letter(), Repair("entry", as_json(item_update(1))), "entry: item_update does not belong on this topic"),
        (dead_letter(), Repair("value", b"x"), "unknown content-type 'text/plain'"),
        (dead_letter("crossrec.activity"), Repair("value", b"\xff"), "not ActivityDeltas"),
        (dead_letter("crossrec.activity"), Repair("entry", b"{}"), "not entries"),
        (dead_letter("other.behavior"), None, "no consumer reads its topic 'other.behavior'"),
        (dead_letter("crossrec.ranked"), None, "no consumer reads its topic 'crossrec.ranked'"),
    ],
)
def test_a_replay_that_would_fail_again_is_rejected(
    found: ParsedDeadLetter, repair: Repair | None, reason: str
) -> None:
    """The error names the dead letter, the field and the reason."""
    with pytest.raises(ReplayRefused, match=f"dead letter 7: .*{reason}"):
        prepare(found, repair)


def test_a_part_of_a_record_is_not_sent_as_if_it_were_the_whole() -> None:
    """A repaired value is; the error says where the whole is."""
    part = replace(dead_letter(), cut="value 10000000 bytes, key 1 bytes, headers 0 bytes")
    with pytest.raises(ReplayRefused, match=r"\(value 10000000 .* crossrec.behavior partition 2 offset 9"):
        prepare(part)
    assert prepare(part, Repair("entry", as_json(behavior_event(1)))).record.value
