"""Entries of a repeated field are counted on the wire as a parser would count them."""

import random

import pytest

from crossrec.events.v1.events_pb2 import Entry, PublishRequest, PublishStreamRequest
from crossrec.ranking.v1.ranking_pb2 import RankRequest
from services.errors import InvalidRequest
from services.server.wire_count import WireLimit, count_entries

ENTRIES = WireLimit("entries", PublishRequest.ENTRIES_FIELD_NUMBER, 1000)


def test_the_count_is_that_of_the_message() -> None:
    """Whatever the other fields are, and however long the entries."""
    draw = random.Random(0)
    for _ in range(50):
        count = draw.randrange(300)
        entries = [Entry() for _ in range(count)]
        for entry in entries:
            entry.item_update.title = "x" * draw.choice([0, 1, 200, 20_000])
        stream = PublishStreamRequest(sequence=draw.choice([0, 5, 2**62]), entries=entries)
        data = stream.SerializeToString()
        assert count == count_entries(data, PublishStreamRequest.ENTRIES_FIELD_NUMBER, 10_000)
    rank = RankRequest(user_id="u", item_ids=["a", ""] * 30, scenario_id="s")
    rank.context.attributes["hour"] = 3.5
    assert 60 == count_entries(rank.SerializeToString(), RankRequest.ITEM_IDS_FIELD_NUMBER, 2000)


def test_the_count_stops_one_above_the_most() -> None:
    assert 1001 == count_entries(b"\x0a\x00" * 4_000_000, 1, 1000)


@pytest.mark.parametrize("bad", [b"\xff", b"\x0a\xff", b"\x0b", b"\x0f\x00", b"\xff" * 30], ids=repr)
def test_what_is_no_message_is_left_to_the_parser(bad: bytes) -> None:
    assert 1 >= count_entries(bad, 1, 10)


def test_a_message_with_too_many_entries_is_rejected_with_its_field() -> None:
    """It is 8 MB large, and would take 150 MB parsed."""
    with pytest.raises(InvalidRequest, match="entries: has more than 1000 entries") as caught:
        ENTRIES.check(b"\x0a\x00" * 4_000_000)
    assert "entries" == caught.value.field


def test_small_messages_and_full_ones_pass() -> None:
    """A small one may have too many: the service says how many it has."""
    ENTRIES.check(b"\x0a\x00" * 2000)
    ENTRIES.check(PublishRequest(entries=[Entry()] * 1000).SerializeToString() + b"\x7a\xff\xff\x03" + b"x" * 65535)
