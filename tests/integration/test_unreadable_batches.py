"""Batches that cannot be read, on a real Kafka: none stops another partition, or the process."""

import json
import os
import signal
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.error import HTTPError

import pytest
import zstandard
from kafka import KafkaProducer
from kafka.admin import ConfigResource

from crossrec.events.v1.events_pb2 import Entry
from services.consumers.dead_letters.topic import list_dead_letters, read_dead_letter
from services.consumers.skip import skip_batch
from services.consumers.status import read_groups
from services.errors import ConfigurationError
from services.events.codec import encode
from services.infra.ports import choose_port
from services.kafka.topics import partition_of
from tests.integration.consumer_harness import Stage, folded, running
from tests.integration.raw_produce import ProduceFailed, produce_raw
from tests.unit.consumers.streams import behavior_event
from tests.unit.kafka.batches import plain, records_of, repacked
from tests.waiting import wait_until

pytestmark = pytest.mark.integration

CODECS = ("gzip", "snappy", "lz4", "zstd")


def of_partition(number: int, count: int, of: int = 4) -> list[Entry]:
    """Events of users whose events go to one partition."""
    found, user = list[Entry](), 0
    while len(found) < count:
        entry = behavior_event(user, user_id=f"u{user}")
        if partition_of(f"u{user}".encode(), range(of)) == number:
            found.append(entry)
        user += 1
    return found


def value_of(entry: Entry) -> bytes:
    return encode(entry)[0]


@pytest.mark.parametrize("codec", CODECS)
def test_what_other_producers_compress_is_folded(stage: Stage, codec: str) -> None:
    """With any codec of Kafka."""
    with KafkaProducer(bootstrap_servers=stage.settings.kafka.bootstrap_servers, compression_type=codec) as producer:
        stage.producer, kept = producer, stage.producer
        stage.send([behavior_event(number) for number in range(50)])
        stage.producer = kept
    with running(stage, "behavior"):
        wait_until(lambda: stage.committed("behavior") == 50)
    assert [] == list_dead_letters(stage.settings, lambda _: True, 0.0, 10)


@pytest.mark.parametrize("codec", CODECS)
def test_what_a_topic_compresses_by_itself_is_folded(stage: Stage, codec: str) -> None:
    """By its compression.type, whatever the producers do: events, deltas and dead letters."""
    topics = [stage.topic("behavior"), stage.topic("activity"), f"{stage.settings.kafka.topic_prefix}.dead-letter"]
    stage.admin.alter_configs([ConfigResource("topic", topic, {"compression.type": codec}) for topic in topics])
    wait_until(lambda: all(compression_of(stage, topic) == codec for topic in topics))
    stage.send([behavior_event(number) for number in range(50)])
    produce_raw(stage.settings.kafka.bootstrap_servers, stage.topic("behavior"), 0, plain([b"no event"]))
    with running(stage, "behavior"), running(stage, "activity"):
        wait_until(lambda: folded(stage, "behavior") and stage.committed("behavior") == 51)
        wait_until(lambda: folded(stage, "activity"))
    assert 1 == len(list_dead_letters(stage.settings, lambda _: True, 0.0, 10))


def compression_of(stage: Stage, topic: str) -> str:
    found = stage.admin.describe_configs([ConfigResource("topic", topic, ["compression.type"])], config_filter="all")
    return str(found["topic"][topic]["compression.type"]["value"])


HOSTILE = {
    "attributes": repacked(plain([b"x"]), bytes([records_of(plain([b"x"]))[0], 0xFF]) + records_of(plain([b"x"]))[2:]),
    "offset": repacked(plain([b"x"]), records_of(plain([b"x"]))[:3] + b"\x7e" + records_of(plain([b"x"]))[4:]),
    "size": repacked(plain([b"x"]), zstandard.compress(records_of(plain([b"\0" * 80_000_000]))), 4),
    "rubbish": repacked(plain([b"x"]), b"rubbish", 1),
    "codec": repacked(plain([b"x"]), b"rubbish", 6),
}


@pytest.mark.parametrize("form", HOSTILE)
def test_no_form_of_a_batch_that_a_broker_takes_stops_a_partition(stage: Stage, form: str) -> None:
    """It is folded or set aside; what the broker refuses does no harm."""
    bootstrap, topic = stage.settings.kafka.bootstrap_servers, stage.topic("behavior")
    taken = 0
    try:
        produce_raw(bootstrap, topic, 0, HOSTILE[form])
        taken = 1
    except ProduceFailed:
        pass
    stage.send(of_partition(0, 5))
    with running(stage, "behavior"):
        wait_until(lambda: stage.committed("behavior") == stage.end("behavior") == 5 + taken)
    assert taken == len(list_dead_letters(stage.settings, lambda _: True, 0.0, 10))


CONSUMER = """
import sys
import kafka.codec
kafka.codec.zstd = None
from services.consumers.main import run_consumer
from services.settings.load import load_settings
from services.text.protocol import HashingEncoder
run_consumer("behavior", load_settings(), HashingEncoder)
"""


@contextmanager
def process_without_zstd(stage: Stage) -> "Iterator[tuple[subprocess.Popen[bytes], str]]":
    """A consumer in a process where the package of a codec is missing, and the address of its metrics."""
    address = f"127.0.0.1:{choose_port(0, None, ())}"
    variables = {**os.environ, **stage.variables(), "CROSSREC_CONSUMERS__METRICS_LISTEN": address}
    process = subprocess.Popen([sys.executable, "-W", "ignore", "-c", CONSUMER], env=variables, stdout=sys.stderr)
    try:
        yield process, address
    finally:
        process.kill()
        process.wait()


def readiness(address: str) -> dict[str, object]:
    """The answer of /ready; empty before it is there."""
    try:
        with urllib.request.urlopen(f"http://{address}/ready", timeout=300) as answer:
            return dict(json.load(answer))
    except HTTPError as error:
        return dict(json.load(error))
    except OSError:
        return {}


def test_a_codec_that_is_not_installed_stops_its_partition_alone(stage: Stage) -> None:
    """Its name, codec and offset stand in readiness, status and metrics; a signal ends the process."""
    bootstrap, topic = stage.settings.kafka.bootstrap_servers, stage.topic("behavior")
    stage.send(of_partition(1, 3))
    first, *rest = of_partition(1, 2)
    values = [value_of(first), value_of(rest[0])]
    batch = repacked(plain(values), zstandard.compress(records_of(plain(values))), 4)
    assert 3 == produce_raw(bootstrap, topic, 1, batch)
    stage.send([behavior_event(number, user_id=f"u{number}") for number in range(200)])
    others = 200 - sum(partition_of(f"u{number}".encode(), range(4)) == 1 for number in range(200))
    expected = f"unreadable batch: {topic}, partition 1, offsets 3 to 4, codec zstd: UnsupportedCodecError"
    with process_without_zstd(stage) as (process, address):
        wait_until(lambda: stage.committed("behavior") == 3 + others)
        wait_until(lambda: "unreadable" in str(readiness(address)))
        assert expected in str(readiness(address)["reasons"])
        with urllib.request.urlopen(f"http://{address}/metrics", timeout=300) as answer:
            assert b'crossrec_consumer_stopped_partitions{kind="behavior"} 1.0' in answer.read()
        with pytest.raises(ConfigurationError, match="running consumers: stop them"):
            skip_batch(stage.settings, stage.store, "behavior", 1)
        process.send_signal(signal.SIGTERM)
        assert 0 == process.wait(120)
    # Here every codec is installed: nothing is to be skipped, and all is folded.
    with pytest.raises(ConfigurationError, match="can be read at offset 3"):
        skip_batch(stage.settings, stage.store, "behavior", 1)
    with running(stage, "behavior"):
        wait_until(lambda: stage.committed("behavior") == stage.end("behavior"))


def test_a_skip_passes_the_batch_and_keeps_it(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a dead letter that cannot be replayed; the records behind it are folded."""
    bootstrap, topic = stage.settings.kafka.bootstrap_servers, stage.topic("behavior")
    batch = repacked(plain([b"x", b"y"]), zstandard.compress(records_of(plain([b"x", b"y"]))), 4)
    produce_raw(bootstrap, topic, 2, batch)
    stage.send(of_partition(2, 4))
    with monkeypatch.context() as patch:
        patch.setattr("kafka.codec.zstd", None)
        with running(stage, "behavior"):
            wait_until(lambda: _unreadable(stage))
        assert "partition 2, offsets 0 to 1, codec zstd" in _unreadable(stage)
        skipped = skip_batch(stage.settings, stage.store, "behavior", 2)
        assert (0, 2) == (skipped.offset, skipped.next_offset)
    with running(stage, "behavior"):
        wait_until(lambda: stage.committed("behavior") == 6)
    (listed,) = list_dead_letters(stage.settings, lambda _: True, 0.0, 10)
    assert records_of(batch) == records_of(read_dead_letter(stage.settings, listed.dead_letter.number).value or b"")


def test_a_consumer_that_stands_does_not_spin(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """The partition is paused: polls wait."""
    bootstrap, topic = stage.settings.kafka.bootstrap_servers, stage.topic("behavior")
    produce_raw(bootstrap, topic, 2, repacked(plain([b"x"]), zstandard.compress(records_of(plain([b"x"]))), 4))
    polls = _count_polls(monkeypatch)
    monkeypatch.setattr("kafka.codec.zstd", None)
    with running(stage, "behavior"):
        wait_until(lambda: _unreadable(stage))
        before = len(polls)
        threading.Event().wait(3.0)
        assert len(polls) - before < 30


def _count_polls(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    from services.kafka.consumer import KafkaRecordSource

    polls, original = list[float](), KafkaRecordSource.poll

    def poll(source: KafkaRecordSource, wait_s: float) -> object:
        polls.append(wait_s)
        return original(source, wait_s)

    monkeypatch.setattr(KafkaRecordSource, "poll", poll)
    return polls


def _unreadable(stage: Stage) -> str:
    """Why a partition of behaviour stands, as the status has it."""
    (group,) = [each for each in read_groups(stage.settings, 0.0) if each.kind == "behavior"]
    return "".join(partition.unreadable for partition in group.partitions)
