"""Requests for the erasure of a user."""

import pytest

from crossrec.events.v1.events_pb2 import Entry
from services.errors import InvalidRequest, Unavailable
from services.gateway.main import build_intake
from services.kafka.publisher import MemoryPublisher
from services.settings.load import Settings
from services.users.erasure import request_erasure

NOW_S = 1_700_000_000.25


def test_an_erasure_is_stored_as_the_gateway_stores_it() -> None:
    """On the behaviour topic, under the user's key, with an id of its own."""
    publisher = MemoryPublisher()
    request_erasure(build_intake(Settings(), publisher), "ann", NOW_S)
    (record,) = publisher.stored
    erasure = Entry.FromString(record.value).user_erasure
    assert ("crossrec.behavior", b"ann", b"ann") == (record.topic, record.key, record.partition_key)
    assert ("ann", NOW_S) == (erasure.user_id, erasure.time.ToMicroseconds() / 1e6)
    assert erasure.event_id


def test_an_invalid_user_id_is_rejected() -> None:
    """With field and reason; nothing is stored."""
    publisher = MemoryPublisher()
    with pytest.raises(InvalidRequest, match=r"user_erasure\.user_id: is 65537 bytes long"):
        request_erasure(build_intake(Settings(), publisher), "x" * 65_537, 1e9)
    assert [] == publisher.stored


def test_an_erasure_that_kafka_does_not_confirm_is_an_error() -> None:
    """The request may be repeated."""
    publisher = MemoryPublisher(failures={0: TimeoutError("late")})
    with pytest.raises(Unavailable, match=r"not confirmed the erasure \(TimeoutError\): try again"):
        request_erasure(build_intake(Settings(), publisher), "ann", 1e9)
