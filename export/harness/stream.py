"""Publishes a part of a data set's history through the gateway, and measures consumer lag."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

from google.protobuf.timestamp_pb2 import Timestamp

from crossrec.events.v1 import events_pb2
from export.harness.environment import HarnessError
from export.replay.history import DatasetHistory
from services.client import EventClient
from services.features.config import FeatureConfig
from services.features.event_types import EVENT_TYPES
from services.kafka.connection import KafkaUnavailable, translate_errors
from services.kafka.groups import open_group_admin
from services.kafka.reader import open_reader
from services.settings.load import Settings
from services.settings.processes import CONSUMED_TOPICS

BATCH = 500

STALL_S = 300.0
"""Seconds without progress of the consumers after which something is wrong, however busy the machine is."""


@dataclass
class PublishResult:
    """Answers of the gateway: number of accepted entries, and rejections."""

    accepted: int = 0
    rejected: list[events_pb2.Rejected] = field(default_factory=list)


def timestamp(time_s: float) -> Timestamp:
    """A protobuf timestamp, exact to the millisecond."""
    stamp = Timestamp()
    stamp.FromMilliseconds(round(time_s * 1000))
    return stamp


def entries_between(
    history: DatasetHistory, config: FeatureConfig, begin_s: float, end_s: float
) -> list[events_pb2.Entry]:
    """Behaviour in [begin, end) and updates of items per scenario in (begin, end], in time order."""
    rows = range(*history.behavior.time_s.searchsorted([begin_s, end_s]).tolist())
    timed = [*_behavior(history, rows), *_updates(history, config, begin_s, end_s)]
    timed.sort(key=lambda pair: pair[0])
    return [entry for _, entry in timed]


def behavior_entries(history: DatasetHistory, rows: slice) -> list[events_pb2.Entry]:
    """Entries of the behaviour events in the given rows."""
    return [entry for _, entry in _behavior(history, range(*rows.indices(len(history.behavior))))]


def _behavior(history: DatasetHistory, rows: range) -> Iterator[tuple[float, events_pb2.Entry]]:
    events = history.behavior
    for row in rows:
        event = events_pb2.BehaviorEvent(
            event_id=f"history-{events.position[row, 2]}",
            user_id=events.user[row],
            scenario_id=events.scenario[row],
            type=f"EVENT_TYPE_{EVENT_TYPES[events.type[row]].upper()}",
            item_id=events.item[row],
            time=timestamp(events.time_s[row]),
            text=history.behavior_text[row],
        )
        if events.value[row] == events.value[row]:  # not NaN
            event.value = events.value[row]
        yield events.time_s[row], events_pb2.Entry(behavior_event=event)


def _updates(
    history: DatasetHistory, config: FeatureConfig, begin_s: float, end_s: float
) -> Iterator[tuple[float, events_pb2.Entry]]:
    states, declared = history.item_scenarios, config.numbers_of("item_scenario")
    for row in range(*states.time_s.searchsorted([begin_s, end_s], side="right")):
        update = events_pb2.ItemScenarioUpdate(
            item_id=states.item[row],
            scenario_id=states.scenario[row],
            time=timestamp(states.time_s[row]),
            attributes={a.name: value for a, value in zip(declared, states.attributes[row], strict=True)},
        )
        yield states.time_s[row], events_pb2.Entry(item_scenario_update=update)


def publish_entries(
    address: str, entries: Sequence[events_pb2.Entry], progress: Callable[[int], None] = lambda _: None
) -> PublishResult:
    """Publish the entries in batches, in order."""
    result = PublishResult()
    with EventClient(address, deadline_s=300) as client:
        for begin in range(0, len(entries), BATCH):
            answers = client.publish(entries[begin : begin + BATCH])
            for answer in answers:
                if answer.WhichOneof("result") == "accepted":
                    result.accepted += 1
                else:
                    result.rejected.append(answer.rejected)
            progress(begin + len(answers))
    return result


class ConsumerLagProbe:
    """Reads the lag of the consumer groups: records of their topics that they have not committed."""

    def __init__(self, settings: Settings) -> None:
        self._kafka, self._prefix = settings.kafka, settings.kafka.topic_prefix
        self._topics = {settings.group(kind): f"{self._prefix}.{suffix}" for kind, suffix in CONSUMED_TOPICS.items()}
        with ExitStack() as stack:
            self._admin = stack.enter_context(open_group_admin(settings.kafka))
            self._reader = stack.enter_context(open_reader(settings.kafka))
            self._connections = stack.pop_all()

    def close(self) -> None:
        """Close the connections."""
        self._connections.close()

    def lag_by_group(self) -> dict[str, int]:
        """Lag in records, per group with any. Raises KafkaUnavailable."""
        result = {}
        with translate_errors(self._kafka):
            for group, topic in self._topics.items():
                committed = self._admin.committed_offsets(group, topic)
                lag = sum(max(end - committed.get(part, 0), 0) for part, end in self._reader.end_offsets(topic).items())
                if lag:
                    result[group] = lag
        return result

    def count_dead_letters(self) -> int:
        """Number of committed records in the dead-letter topic. Raises KafkaUnavailable."""
        topic = f"{self._prefix}.dead-letter"
        with translate_errors(self._kafka):
            return sum(1 for _ in self._reader.records(topic, self._reader.beginning_offsets(topic)))

    def wait(self, check: Callable[[], None], progress: Callable[[int], None], stall_s: float = STALL_S) -> None:
        """Wait until every group has caught up; HarnessError after `stall_s` seconds without progress."""
        known, since_s = dict[str, int](), time.monotonic()
        while lag := self._lag_or(known):
            progress(sum(lag.values()))
            check()
            if lag != known:
                known, since_s = lag, time.monotonic()
            if time.monotonic() - since_s > stall_s:
                raise HarnessError(f"consumers have folded nothing for {stall_s:g} s; lag in records: {lag}")
            time.sleep(0.1)
        progress(0)

    def _lag_or(self, known: dict[str, int]) -> dict[str, int]:
        """The lag; while Kafka does not answer, the one known before, or a record of each group."""
        try:
            return self.lag_by_group()
        except KafkaUnavailable:
            return known or dict.fromkeys(self._topics, 1)
