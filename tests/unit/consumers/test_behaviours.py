"""The suite of behaviours on a log and a store in memory."""

from collections.abc import Sequence

import pytest

from crossrec.events.v1.events_pb2 import Entry
from services.kafka.record_source import MemoryRecordSource, Record, RecordSource
from services.settings.load import Settings
from services.settings.processes import ConsumerSettings
from services.store.memory import MemoryRowStore
from tests.unit.consumers.behaviours import BATCH, ConsumerBehaviours, World
from tests.unit.consumers.streams import ANY_AGE, CONFIG, records


class MemoryWorld:
    """One partition per topic; the activity topic holds the outputs that the behaviour group has committed."""

    def __init__(self) -> None:
        self.settings = Settings(
            features=CONFIG, gateway=ANY_AGE, consumers=ConsumerSettings(unregistered_scenarios="accept")
        )
        self.store = MemoryRowStore()
        self._behavior, self._activity = MemoryRecordSource([], BATCH), MemoryRecordSource([], BATCH)

    def send(self, entries: Sequence[Entry]) -> list[Record]:
        new = records(entries, offset=len(self._behavior.records))
        self._behavior.records += new
        return new

    def member(self, kind: str) -> RecordSource:
        log = self._log(kind)
        log.rewind()
        return log

    def lag(self, kind: str) -> int:
        log = self._log(kind)
        return len(log.records) - log.committed

    def _log(self, kind: str) -> MemoryRecordSource:
        outputs = [output for output in self._behavior.outputs if output.topic == "crossrec.activity"]
        self._activity.records = [
            Record(output.topic, 0, offset, output.key, output.value) for offset, output in enumerate(outputs)
        ]
        return {"behavior": self._behavior, "activity": self._activity}[kind]


class TestInMemory(ConsumerBehaviours):
    """The suite on the fakes."""

    @pytest.fixture
    def world(self) -> World:
        return MemoryWorld()
