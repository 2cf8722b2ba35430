"""A fuzz of the whole boundary: records of every codec, size, form, key and header to every topic, and stop signals.

    python -m tests.chaos.fuzz --records 100000 --seed 1

Four real consumers fold what is sent to them through a real Kafka into a real Valkey, and get SIGTERM at random times.
Every record must be folded or set aside, once: the dead letters must be those of one process that folds the same
records in memory, and so must rows. Exits with 1 if one is not, and prints the directory with all logs.
"""

import argparse
import os
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from services.consumers.main import build_handler
from services.infra.commands import InfraConfig, down, up
from services.kafka.record_source import Record
from services.settings.processes import CONSUMER_KINDS
from services.store.memory import MemoryRowStore
from services.text.protocol import HashingEncoder
from tests.chaos.system import CampaignFailed, ConsumerProcess
from tests.integration.boundary import boundary, open_senders
from tests.integration.consumer_harness import SCHEMA, Stage, dead_letters, folded, staged
from tests.unit.consumers.streams import assert_rows
from tests.waiting import wait_until

CHUNK = 500
"""Records between two flushes."""

COMPARED = {"item": ["item", "item_scenario"], "scenario": ["scenario"]}
"""Views whose rows are compared: those of users and activity also depend on when items were folded meanwhile."""

STOP_EVERY_S = (3.0, 12.0)
"""Bounds of the time between two stop signals."""

STOP_S = 5.0
"""Longest time that a consumer may take to stop."""


@dataclass
class Sent:
    """A stored record: its place among the records of its topic, its offset, and Kafka's time of it."""

    number: int
    offset: int
    time_s: float


@dataclass
class Report:
    """The results of a campaign."""

    codecs: Counter[str] = field(default_factory=Counter)
    records: Counter[str] = field(default_factory=Counter)
    dead_letters: Counter[str] = field(default_factory=Counter)
    megabytes: float = 0.0
    stops_s: list[float] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        """The report, for people."""
        sent, aside = sum(self.records.values()), sum(self.dead_letters.values())
        stops = sorted(self.stops_s) or [0.0]
        return [
            f"records      {sent}: {dict(self.records)}, {self.megabytes:.0f} MB",
            f"codecs       {dict(self.codecs)}",
            f"set aside    {aside}: {dict(self.dead_letters)}",
            f"folded       {sent - aside}",
            f"SIGTERM      {len(self.stops_s)} times: median {stops[len(stops) // 2]:.2f} s, longest {stops[-1]:.2f} s",
            "seconds      " + ", ".join(f"{name} {seconds:.0f}" for name, seconds in self.seconds.items()),
            f"problems     {len(self.problems)}",
            *(f"  {problem}" for problem in self.problems[:20]),
        ]


class Stopper(threading.Thread):
    """Stops a consumer with SIGTERM at random moments, and starts it again."""

    def __init__(self, consumers: list[ConsumerProcess], seed: int) -> None:
        super().__init__(daemon=True)
        self._consumers, self._chance, self._end = consumers, random.Random(f"stops-{seed}"), threading.Event()
        self.stops_s: list[float] = []
        self.problems: list[str] = []

    def run(self) -> None:
        while not self._end.wait(self._chance.uniform(*STOP_EVERY_S)):
            consumer = self._chance.choice(self._consumers)
            try:
                # One that is starting has nothing to stop in an orderly way yet.
                if not consumer.has_joined():
                    continue
                begun_s = time.monotonic()
                consumer.stop()
            except CampaignFailed as error:
                self.problems.append(str(error))
            else:
                self.stops_s.append(time.monotonic() - begun_s)
            consumer.start()

    def end(self) -> None:
        self._end.set()
        self.join()


def run_campaign(directory: Path, records: int, seed: int) -> Report:
    """Run a campaign in a directory."""
    report, infra = Report(), InfraConfig(directory / "infra")
    with ExitStack() as stack:
        stack.callback(down, infra)
        endpoints = up(infra)
        stage = stack.enter_context(staged(endpoints, directory, max_poll_records=5000, transaction_timeout_ms=10_000))
        consumers = []
        for kind in CONSUMER_KINDS:
            consumer = ConsumerProcess(kind, kind, _environment(stage), directory / f"{kind}.log")
            stack.callback(consumer.kill)
            consumer.start()
            consumers.append(consumer)
        stopper = Stopper(consumers, seed)
        stopper.start()
        begun_s = time.monotonic()
        sent = _send_all(stage, records // len(CONSUMER_KINDS), seed, report)
        report.seconds["sending"] = time.monotonic() - begun_s
        for kind in CONSUMER_KINDS:
            wait_until(
                lambda kind=kind: folded(stage, kind), timeout_s=1800, interval_s=1.0, what=f"{kind} to be folded"
            )
        report.seconds["all folded after"] = time.monotonic() - begun_s
        stopper.end()
        report.stops_s, report.problems = stopper.stops_s, stopper.problems
        report.problems += [f"SIGTERM took {took_s:.1f} s" for took_s in stopper.stops_s if took_s > STOP_S]
        found = _dead_letters(stage)
        for kind in CONSUMER_KINDS:
            report.dead_letters[kind] = len(found[stage.topic(kind)])
            report.problems += _check(stage, kind, seed, sent[kind], found[stage.topic(kind)])
    return report


def _environment(stage: Stage) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("CROSSREC_")}
    return inherited | stage.variables() | {"OMP_NUM_THREADS": "1"}


def _send_all(stage: Stage, count: int, seed: int, report: Report) -> dict[str, list[Sent]]:
    """Send the records of all topics, in turns."""
    streams = {kind: enumerate(boundary(kind, count, seed, SCHEMA)) for kind in CONSUMER_KINDS}
    sent: dict[str, list[Sent]] = {kind: [] for kind in CONSUMER_KINDS}
    with open_senders(stage.settings.kafka.bootstrap_servers, seed) as senders:
        while streams:
            for kind in list(streams):
                pending = []
                for _, (number, record) in zip(range(CHUNK), streams[kind], strict=False):
                    codec, future = senders.send(stage.topic(kind), record)
                    pending.append((number, future))
                    report.codecs[codec] += 1
                    report.megabytes += len(record.value or b"") / 1e6
                senders.flush()
                stored = [(number, future.get(timeout=300)) for number, future in pending]
                sent[kind] += [Sent(number, at.offset, at.timestamp / 1000) for number, at in stored]
                report.records[kind] += len(pending)
                if len(pending) < CHUNK:
                    del streams[kind]
    return sent


def _dead_letters(stage: Stage) -> dict[str, list[int]]:
    """Offsets of the records that committed dead letters name, by topic."""
    found: dict[str, list[int]] = {stage.topic(kind): [] for kind in CONSUMER_KINDS}
    for record in dead_letters(stage):
        headers = dict(record.headers)
        found[headers["topic"].decode()].append(int(headers["offset"]))
    return found


def _check(stage: Stage, kind: str, seed: int, sent: list[Sent], dead_letters: list[int]) -> list[str]:
    """What differs from one process that folds the same records in memory, once and in order."""
    problems = []
    broken = set(dead_letters)
    if len(broken) < len(dead_letters):
        problems.append(f"{kind}: {len(dead_letters) - len(broken)} records were set aside more than once")
    at, topic = {each.number: each for each in sent}, stage.topic(kind)
    made = enumerate(boundary(kind, len(sent), seed, SCHEMA))
    expected, refused = MemoryRowStore(), set[int]()
    handler = build_handler(kind, stage.settings, SCHEMA, expected, HashingEncoder)
    while chunk := [pair for _, pair in zip(range(CHUNK), made, strict=False)]:
        records = []
        for number, record in chunk:
            offset, time_s = at[number].offset, at[number].time_s
            records.append(Record(topic, 0, offset, record.key, record.value, list(record.headers), time_s))
            if record.folds is not None and record.folds == (offset in broken):
                problems.append(
                    f"{kind}: {record.how} at offset {offset} was {'' if offset in broken else 'not '}set aside"
                )
        records.sort(key=lambda record: record.offset)
        done = 0
        while done < len(records):
            result = handler.fold(records[done:])
            refused |= {each.record.offset for each in result.dead_letters}
            done += len(records[done:][: result.records])
    problems += [f"{kind}: offset {offset} was set aside, and should not be" for offset in sorted(broken - refused)]
    problems += [f"{kind}: offset {offset} should have been set aside" for offset in sorted(refused - broken)]
    try:
        if kind in COMPARED:
            assert_rows(expected, stage.store, [view for view in COMPARED[kind] if expected.rows[view]], SCHEMA)
    except AssertionError as error:
        problems.append(f"{kind}: {error}")
    return problems


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(description="Fuzz the boundary of the consumers.")
    parser.add_argument("--records", type=int, default=100_000, help="Records in all.")
    parser.add_argument("--seed", type=int, default=1, help="Seed of records, codecs and signals.")
    chosen = parser.parse_args()
    directory = Path(tempfile.mkdtemp(prefix="crossrec-fuzz-"))
    sys.stdout.write(f"seed {chosen.seed}, logs in {directory}\n")
    sys.stdout.flush()
    report = run_campaign(directory, chosen.records, chosen.seed)
    sys.stdout.write("\n".join([*report.lines(), ""]))
    return 1 if report.problems else 0


if __name__ == "__main__":
    sys.exit(main())
