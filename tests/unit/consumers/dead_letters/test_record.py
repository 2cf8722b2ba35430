"""The format of dead letters, and the log line about them."""

import json
import logging
from hashlib import sha256

import pytest
from kafka.record.default_records import DefaultRecordBatchBuilder

from services.consumers.behavior import ENTRIES
from services.consumers.dead_letters.record import MAX_BYTES, SMALL_BYTES, DeadLetter, log_dead_letters
from services.consumers.decoding import Decoder, TimeLimits
from services.kafka.record_source import Record
from services.server.logging import JsonFormatter
from tests.unit.consumers.streams import CONFIG, START_S, behavior_event


def test_a_dead_letter_is_the_record_with_reason_and_position() -> None:
    """Original headers keep their order under a prefix; a null header becomes an empty one."""
    record = Record("crossrec.items", 3, 17, b"i1", b"\xff", [("content-type", b"text/plain"), ("trace", None)])
    output = DeadLetter(record, "the reason").output("crossrec.dead-letter")
    assert ("crossrec.dead-letter", b"i1", b"\xff") == (output.topic, output.key, output.value)
    assert output.headers == [
        ("reason", b"the reason"),
        ("topic", b"crossrec.items"),
        ("partition", b"3"),
        ("offset", b"17"),
        ("original-content-type", b"text/plain"),
        ("original-trace", b""),
    ]


def test_a_record_of_nulls_gets_an_empty_key() -> None:
    """Kafka accepts no record without key and value; if the record has one of them, the other stays null."""
    assert b"" == DeadLetter(Record("t", 0, 0, None, None), "empty").output("d").key
    assert DeadLetter(Record("t", 0, 0, None, b"x"), "empty").output("d").key is None
    assert DeadLetter(Record("t", 0, 0, b"k", None), "empty").output("d").value is None


@pytest.mark.parametrize("most", [MAX_BYTES, SMALL_BYTES])
@pytest.mark.parametrize(
    "record",
    [
        Record("t", 0, 7, b"k", b"v" * 10_000_000, [("content-type", b"text/plain")]),
        Record("t", 0, 7, b"k" * 3_000_000, None),
        Record("t", 0, 7, b"k" * 3_000_000, b"v" * 3_000_000, [("h", b"x" * 3_000_000)]),
        Record("t", 0, 7, b"k", b"v", [("h", b"")] * 1_000_000),
        Record("t", 0, 7, b"k", b"v", [("n" * 3_000_000, None)]),
    ],
)
def test_a_dead_letter_fits_its_topic_whatever_the_record(record: Record, most: int) -> None:
    """Its headers say what the whole is; the first bytes of key and value are kept, null stays null."""
    output = DeadLetter(record, "why " * 1_000_000).output("d", most)
    size = DefaultRecordBatchBuilder.estimate_size_in_bytes(output.key, output.value, output.headers)
    assert size < most + 100 < 2 * 1024 * 1024
    headers = dict(output.headers)
    assert (b"t", b"0", b"7") == (headers["topic"], headers["partition"], headers["offset"])
    assert f"value {len(record.value or b'')} bytes, key {len(record.key or b'')} bytes".encode() in headers["cut"]
    assert sha256(record.value or b"").hexdigest().encode() == headers["sha256"]
    for whole, part in ((record.key, output.key), (record.value, output.value)):
        assert (whole is None) == (part is None)
        assert (whole or b"").startswith(part or b"")
    assert headers.get("original-content-type") == dict(record.headers).get("content-type")


def test_the_largest_record_that_kafka_takes_by_default_is_kept_whole() -> None:
    """With all its headers."""
    record = Record("t", 0, 0, b"k" * 1000, b"v" * 900_000, [(f"h{n}", b"x" * 90) for n in range(1000)])
    output = DeadLetter(record, "why").output("d")
    assert (record.key, record.value) == (output.key, output.value)
    assert "cut" not in dict(output.headers)
    assert 4 + 1000 == len(output.headers)


def test_logs_count_reasons_and_quote_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """One line per batch, without the content of records."""
    reasons = [
        "behavior_event.user_id: is empty",
        "behavior_event.user_id: is 130 bytes long, at most 128",
        'item_update.attributes["secret"]: is not declared',
        "unknown content-type 'secret', known: application/json",
        "not an Entry in JSON: Failed to parse secret",
    ]
    with caplog.at_level(logging.WARNING, "services.consumers"):
        log_dead_letters([DeadLetter(Record("t", 0, n, b"secret", None), text) for n, text in enumerate(reasons)])
        log_dead_letters([])
    (line,) = [json.loads(JsonFormatter().format(record)) for record in caplog.records]
    assert ("dead_letters", "t", 5) == (line["event"], line["topic"], line["count"])
    assert line["reasons"] == {
        "behavior_event.user_id": 2,
        "item_update.attributes": 1,
        "unknown content-type": 1,
        "not an Entry in JSON": 1,
    }
    assert "secret" not in json.dumps(line)


@pytest.mark.parametrize(
    "value",
    [b"\xff", b"[" * 200_000, b'{"behaviorEvent": {"userId": "\\ud800"}}', b'{"a":' * 50_000, b"\xff\xfe{}", b"null"],
)
def test_hostile_json_is_a_dead_letter(value: bytes) -> None:
    """Nesting deeper than the parser's stack, lone surrogates, other encodings: a reason, never a crash."""
    record = Record("crossrec.behavior", 0, 0, b"u", value, [("content-type", b"application/json")])
    good, bad = Decoder(ENTRIES, CONFIG, TimeLimits(lambda: START_S, 300.0)).split([record])
    assert ([], 1) == (good, len(bad))
    assert bad[0].reason


def test_the_clock_bounds_event_times() -> None:
    """An event may be ahead of the consumer's clock by the tolerance and no more."""
    entry = behavior_event(100)
    record = Record("crossrec.behavior", 0, 0, b"u", entry.SerializeToString())
    for now_s, good in ((START_S, 0), (START_S + 70, 1)):
        assert good == len(Decoder(ENTRIES, CONFIG, TimeLimits(lambda now=now_s: now, 30.0)).split([record])[0])


@pytest.mark.parametrize("time_s", [START_S - 50, 0.0, 1e12])
def test_a_record_without_a_time_has_its_own(time_s: float) -> None:
    """The contract's default is the clock; Kafka's time gives a repeated batch the same one. The year 33658 is none."""
    entry = behavior_event(0)
    entry.behavior_event.ClearField("time")
    record = Record("crossrec.behavior", 0, 0, b"u", entry.SerializeToString(), time_s=time_s)
    times = TimeLimits(lambda: START_S + 70, 30.0)
    ((_, found),) = Decoder(ENTRIES, CONFIG, times).split([record])[0]
    assert (START_S - 50 if time_s == START_S - 50 else START_S + 70) == found.behavior_event.time.ToSeconds()
